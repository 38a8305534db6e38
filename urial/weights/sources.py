"""From a model's entry in models.yaml to a folder on this machine that `from_pretrained` can read.

A packaged GGUF is converted once into the cache, a hub id is fetched by huggingface_hub, a folder is taken as it is.
Knows nothing about models in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from urial.errors import WeightsMissing
from urial.pairs import AdapterSpec, Dtype, ModelSpec
from urial.weights.cache import cached_folder
from urial.weights.packages import PackagedGguf, find_package, part_paths, read_package

Progress = Callable[[str, float | None], None]
CONVERSION = 1  # raise it whenever the converted files would come out differently
MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "*.txt")
OTHER_FORMATS = ("original/*", "consolidated*", "onnx/*", "metal/*")
CONVERTED_BYTES = {"float32": 1_130_000_000, "bfloat16": 600_000_000, "float16": 600_000_000}


@dataclass(frozen=True, slots=True)
class Located:
    """A folder with weights, what to call it, and which version it is."""

    folder: Path
    description: str
    revision: str


def locate_model(spec: ModelSpec, dtype: Dtype, progress: Progress) -> Located:
    """The folder with the model's own weights, adapter left aside.

    Raises WeightsMissing (not installed, not found, not reachable) or WeightsError (damaged, cache not writable).
    """
    if spec.package is not None:
        return _locate_package(spec.package, dtype, progress)
    if spec.hub is not None:
        return _fetch(spec.hub, spec.revision, "model", progress)
    if spec.folder is not None:
        return _take_folder(Path(spec.folder).expanduser(), "config.json")
    raise WeightsMissing("This model runs behind a server; no weights can be loaded for it here.")


def locate_adapter(spec: AdapterSpec, progress: Progress) -> Located:
    """The folder with the adapter, in peft format. Raises as `locate_model`."""
    if spec.hub is not None:
        return _fetch(spec.hub, spec.revision, "adapter", progress)
    if spec.folder is None:
        raise WeightsMissing("An adapter needs a folder or a hub id.")
    return _take_folder(Path(spec.folder).expanduser(), "adapter_config.json")


def _locate_package(name: str, dtype: Dtype, progress: Progress) -> Located:
    package = find_package(name)
    key = hashlib.sha256(f"{package.sha256} {dtype} {CONVERSION}".encode()).hexdigest()[:20]
    folder = cached_folder(key, CONVERTED_BYTES[dtype], lambda work: _convert(package, dtype, work, progress), progress)
    return Located(folder, package.requirement, f"sha256:{package.sha256[:12]}")


def _convert(package: PackagedGguf, dtype: Dtype, folder: Path, progress: Progress) -> None:
    from urial.weights.checkpoint import write_checkpoint  # only a first start needs the converter
    from urial.weights.gguf_file import parse_gguf

    progress("Reading the packaged weights", None)
    write_checkpoint(parse_gguf(read_package(package)), dtype, folder, progress)


def _take_folder(folder: Path, needed: str) -> Located:
    if not folder.is_dir():
        raise WeightsMissing(f"There is no folder {folder}; correct the path in models.yaml.")
    if not (folder / needed).is_file():
        raise WeightsMissing(f"The folder {folder} holds no {needed}; name one that does in models.yaml.")
    return Located(folder, str(folder), fingerprint(folder))


def fingerprint(folder: Path) -> str:
    """A short digest of a folder's files by name, size and first megabyte: tells versions apart, quickly."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja")):
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
    return f"local:{digest.hexdigest()[:12]}"


def _fetch(hub: str, revision: str | None, kind: str, progress: Progress) -> Located:
    progress(f"Fetching the {kind} {hub}", None)
    try:
        folder = snapshot_download(hub, revision=revision, allow_patterns=MODEL_FILES, ignore_patterns=OTHER_FORMATS)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsMissing(_explain(error, hub, revision)) from error
    return Located(Path(folder), hub, Path(folder).name)


def _explain(error: Exception, hub: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return f"{hub} is gated: accept its licence on its hub page, then set HF_TOKEN or run `hf auth login`."
    if isinstance(error, RevisionNotFoundError):
        return f"{hub} has no revision {revision!r}; correct it in models.yaml."
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return f"The hub has no model {hub!r} that you may read; correct the id, or set HF_TOKEN if it is private."
    if isinstance(error, LocalEntryNotFoundError):
        return f"{hub} is not on this machine and the hub cannot be reached; connect, or use a local folder or pair."
    return f"{hub} could not be fetched from the hub ({type(error).__name__}); try again, or use a local folder."


def missing_reason(spec: ModelSpec) -> str | None:
    """Why the model cannot load here, as far as can be told without the network; None if nothing speaks against it."""
    try:
        if spec.package is not None:
            part_paths(find_package(spec.package))
        if spec.folder is not None:
            _take_folder(Path(spec.folder).expanduser(), "config.json")
        if spec.adapter is not None and spec.adapter.folder is not None:
            _take_folder(Path(spec.adapter.folder).expanduser(), "adapter_config.json")
    except WeightsMissing as error:
        return str(error)
    return None
