"""Models in memory: one, or a pair that shares every tensor it can.

Knows nothing about prompts or about how a model is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from urial.errors import SettingsError, WeightsError, WeightsMissing
from urial.pairs import AdapterSpec, Dtype, ModelSpec, Quantization
from urial.weights.adapters import attach_adapter, share_tensors
from urial.weights.chat import end_ids_of, with_chat_template
from urial.weights.sources import locate_adapter, locate_model

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run: in eval mode, without gradients, on its device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]  # a turn ends at any of these
    description: str  # what the weights are, for people
    revision: str  # hub commit, or a digest
    adapter_name: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """Both sides. With `shares_weights` the two models are two trees of modules over the same tensors."""

    base: LoadedModel
    aligned: LoadedModel
    shares_weights: bool


def silent(stage: str, fraction: float | None) -> None:
    """A progress callback that shows nothing."""


def load_pair_models(
    base: ModelSpec,
    aligned: ModelSpec,
    *,
    dtype: Dtype,
    quantization: Quantization | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LoadedPair:
    """Loads both sides; weights that both name are loaded once.

    `progress(stage, fraction or None)` is called as work goes on.
    Raises WeightsMissing, WeightsError, SettingsError.
    """
    options = {"dtype": dtype, "quantization": quantization, "device": device}
    show = progress or silent
    shared = _without_adapter(base) == _without_adapter(aligned)
    first = _load_plain(base, **options, progress=show)
    second = first if shared else _load_plain(aligned, **options, progress=show)
    pair = LoadedPair(_adapted(first, base.adapter, show), _adapted(second, aligned.adapter, show), shared)
    if pair.aligned.tokenizer.chat_template is None:
        raise WeightsMissing(
            f"The aligned model ({pair.aligned.description}) has no chat template; "
            "put a chat_template.jinja into its folder or its adapter's."
        )
    return pair


def load_model(
    spec: ModelSpec,
    *,
    dtype: Dtype,
    quantization: Quantization | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> LoadedModel:
    """Loads one model with its adapter, if it has one. Raises as `load_pair_models`."""
    show = progress or silent
    loaded = _load_plain(spec, dtype=dtype, quantization=quantization, device=device, progress=show)
    return _adapted(loaded, spec.adapter, show)


def _without_adapter(spec: ModelSpec) -> ModelSpec:
    return spec.model_copy(update={"adapter": None})


def _load_plain(
    spec: ModelSpec, *, dtype: Dtype, quantization: Quantization | None, device: str, progress: Progress
) -> LoadedModel:
    placement = _placement(dtype, quantization, device)
    found = locate_model(spec, dtype, progress)
    progress("Loading the model", None)
    with _quiet_transformers(), _clear_errors(found.folder):
        tokenizer = AutoTokenizer.from_pretrained(found.folder)
        model = AutoModelForCausalLM.from_pretrained(found.folder, **placement)
    model.eval().requires_grad_(False)
    return LoadedModel(model, tokenizer, end_ids_of(model, tokenizer), found.description, found.revision)


def _adapted(loaded: LoadedModel, adapter: AdapterSpec | None, progress: Progress) -> LoadedModel:
    """The same weights under an adapter, in a tree of its own; as it is where there is no adapter."""
    if adapter is None:
        return loaded
    found = locate_adapter(adapter, progress)
    progress("Loading the adapter", None)
    model = share_tensors(loaded.model)
    attach_adapter(model, found.folder)
    tokenizer = with_chat_template(loaded.tokenizer, found.folder)
    return replace(
        loaded,
        model=model,
        tokenizer=tokenizer,
        end_ids=end_ids_of(model, tokenizer),
        description=f"{loaded.description} with the adapter {found.description}",
        revision=f"{loaded.revision}+{found.revision}",
        adapter_name=found.description,
    )


def _placement(dtype: Dtype, quantization: Quantization | None, device: str) -> dict[str, Any]:
    """Arguments for `from_pretrained`. Raises SettingsError for a device that is not here."""
    _check_device(device)
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if quantization is not None:
        options["quantization_config"] = _quantization_config(quantization, dtype)
    if quantization is not None or device != "cpu":
        options["device_map"] = {"": device}
    return options


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(f"There is no device {device!r} here; use cpu, or a device that torch can see.") from error


def _quantization_config(quantization: Quantization, dtype: Dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401  (asked for here, so that its absence gets a sentence)
    except ImportError as error:
        raise WeightsMissing("Quantised weights need bitsandbytes; run: pip install bitsandbytes") from error
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, dtype)
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """transformers' own bars off for a while: progress is shown by whoever asked for it."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """transformers' errors about a folder as one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(f"The model in {folder} cannot be loaded: {reason}") from error
