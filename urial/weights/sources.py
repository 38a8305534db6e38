"""From a model's entry in models.yaml to a folder on this machine that `from_pretrained` can read.

A GGUF, packaged or a file, is converted once into the cache, a hub id is fetched, a folder is taken as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from urial.errors import WeightsMissing
from urial.pairs import AdapterSpec, Dtype, ModelSpec, TokenizerSpec
from urial.progress import Progress
from urial.weights.cache import cached_folder, file_digest
from urial.weights.packages import PackagedGguf, find_package, part_paths, read_package

CONVERSION = 3  # raise it whenever the converted files would come out differently
BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2, "float16": 2}
OTHER_BYTES = 40_000_000  # the tokenizer and the rest
MODEL_FILE, ADAPTER_FILE, TOKENIZER_FILE = "config.json", "adapter_config.json", "tokenizer_config.json"


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
        return _locate_on_hub(spec.hub, spec.revision, MODEL_FILE, progress)
    if spec.folder is not None:
        return _take_folder(spec.folder, MODEL_FILE)
    if spec.gguf is not None:
        return _locate_gguf(Path(spec.gguf).expanduser().absolute(), spec.tokenizer is None, dtype, progress)
    raise WeightsMissing("This model runs behind a server; no weights can be loaded for it here.")


def locate_tokenizer(spec: TokenizerSpec, progress: Progress) -> Located:
    """The folder with a GGUF file's tokenizer. Raises as `locate_model`."""
    if spec.hub is not None:
        return _locate_on_hub(spec.hub, spec.revision, TOKENIZER_FILE, progress)
    return _take_folder(str(spec.folder), TOKENIZER_FILE)


def locate_adapter(spec: AdapterSpec, progress: Progress) -> Located:
    """The folder with the adapter, in peft format. Raises as `locate_model`."""
    if spec.hub is not None:
        return _locate_on_hub(spec.hub, spec.revision, ADAPTER_FILE, progress)
    if spec.folder is not None:
        return _take_folder(spec.folder, ADAPTER_FILE)
    raise WeightsMissing("An adapter needs a folder or a hub id; name one in models.yaml.")


def missing_reason(spec: ModelSpec) -> str | None:
    """Why the model cannot be loaded here, as far as can be told without the network; None if nothing is known to
    be in the way."""
    try:
        if spec.package is not None:
            part_paths(find_package(spec.package))
        if spec.folder is not None:
            _take_folder(spec.folder, MODEL_FILE)
        if spec.gguf is not None:
            _take_gguf(Path(spec.gguf).expanduser().absolute())
        if spec.tokenizer is not None and spec.tokenizer.folder is not None:
            _take_folder(spec.tokenizer.folder, TOKENIZER_FILE)
        if spec.adapter is not None and spec.adapter.folder is not None:
            _take_folder(spec.adapter.folder, ADAPTER_FILE)
    except WeightsMissing as error:
        return str(error)
    return None


def _locate_package(name: str, dtype: Dtype, progress: Progress) -> Located:
    package = find_package(name)
    digest = hashlib.sha256(f"{package.sha256} {dtype} {CONVERSION}".encode()).hexdigest()[:12]
    size = package.values * BYTES_PER_VALUE[dtype] + OTHER_BYTES
    key = f"{name}-{dtype}-{digest}"
    folder = cached_folder(key, size, lambda work: _convert(package, dtype, work, progress), progress)
    return Located(folder, package.requirement, f"sha256:{package.sha256[:12]}")


def _convert(package: PackagedGguf, dtype: Dtype, folder: Path, progress: Progress) -> None:
    from urial.weights.checkpoint import write_checkpoint  # only a first start needs the converter
    from urial.weights.gguf_file import parse_gguf

    progress("Reading the packaged weights", None)
    write_checkpoint(parse_gguf(read_package(package)), dtype, folder, progress)


def _locate_gguf(path: Path, with_tokenizer: bool, dtype: Dtype, progress: Progress) -> Located:
    """The file, converted; its own digest is in the folder's name."""
    from urial.weights.gguf_conversion import convert, mapped, values_of

    _take_gguf(path)
    progress("Reading the GGUF file", None)
    gguf, digest = mapped(path), file_digest(path)
    own = "" if with_tokenizer else " without tokenizer"
    key = hashlib.sha256(f"{digest} {dtype} {CONVERSION}{own}".encode()).hexdigest()[:12]
    size = values_of(gguf) * BYTES_PER_VALUE[dtype] + OTHER_BYTES
    folder = cached_folder(
        f"gguf-{dtype}-{key}", size, lambda work: convert(gguf, path, dtype, work, with_tokenizer, progress), progress
    )
    return Located(folder, f"{path.parent.name}/{path.name}", f"sha256:{digest[:12]}")


def _take_gguf(path: Path) -> None:
    if not path.is_file():
        raise WeightsMissing(f"There is no GGUF file {path}; correct the path in models.yaml.")


def _locate_on_hub(repository: str, revision: str | None, needed: str, progress: Progress) -> Located:
    from urial.weights.hub import fetch  # its imports are not needed by a local pair

    folder = fetch(repository, revision, progress)
    if not (folder / needed).is_file():
        raise WeightsMissing(f"{repository} on the hub holds no {needed}; correct the id in models.yaml.")
    return Located(folder, repository, folder.name)


def _take_folder(name: str, needed: str) -> Located:
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise WeightsMissing(f"There is no folder {folder}; correct the path in models.yaml.")
    if not (folder / needed).is_file():
        raise WeightsMissing(f"The folder {folder} holds no {needed}; name one that does in models.yaml.")
    shown = f"{folder.parent.name}/{folder.name}"  # records are shared: where on this machine is nobody's business
    return Located(folder, shown, fingerprint(folder))


def fingerprint(folder: Path) -> str:
    """A short digest of a folder's files by name, size and first megabyte: tells versions apart, quickly."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".jinja")):
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 20))
    return f"local:{digest.hexdigest()[:12]}"
