"""Models in memory: one, or a pair that shares every tensor it can.

Knows nothing about prompts or about how a model is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from urial.errors import WeightsError, WeightsMissing
from urial.pairs import AdapterSpec, Dtype, ModelSpec, Quantization
from urial.weights.adapters import read_adapter, with_adapter
from urial.weights.chat import end_ids_of, with_chat_template, with_template_file
from urial.weights.placement import Placement
from urial.weights.progress import Progress, silent
from urial.weights.sources import locate_adapter, locate_model


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
    """Both sides. With `shares_weights` the two models are trees of modules over the same tensors."""

    base: LoadedModel
    aligned: LoadedModel
    shares_weights: bool


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
    placement, show = Placement(dtype, quantization, device), progress or silent
    same = _weights_of(base) == _weights_of(aligned)
    first = _load_plain(base, placement, show)
    second = first if same else _load_plain(aligned, placement, show)
    sides = _finished(first, base, show), _finished(second, aligned, show)
    if sides[1].tokenizer.chat_template is None:
        raise WeightsMissing(
            f"The aligned model ({sides[1].description}) has no chat template; "
            "name one in models.yaml, or put a chat_template.jinja into its folder or its adapter's."
        )
    one, other = (side.model.get_input_embeddings().weight for side in sides)
    return LoadedPair(*sides, shares_weights=one is other)


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
    return _finished(_load_plain(spec, Placement(dtype, quantization, device), show), spec, show)


def _weights_of(spec: ModelSpec) -> ModelSpec:
    """The entry without what may lie on top of the weights."""
    return spec.model_copy(update={"adapter": None, "chat_template": None})


def _load_plain(spec: ModelSpec, placement: Placement, progress: Progress) -> LoadedModel:
    options = placement.options()
    found = locate_model(spec, placement.dtype, progress)
    progress("Loading the model", None)
    with _quiet_transformers(), _clear_errors(found.folder):
        tokenizer = AutoTokenizer.from_pretrained(found.folder)
        model, report = AutoModelForCausalLM.from_pretrained(found.folder, output_loading_info=True, **options)
    _check_filled(report["missing_keys"], found.folder)
    model.eval().requires_grad_(False)
    return LoadedModel(model, tokenizer, end_ids_of(model, tokenizer), found.description, found.revision)


def _check_filled(missing: set[str], folder: Path) -> None:
    """transformers only warns where it makes up a tensor; here that is an error."""
    if missing:
        raise WeightsError(
            f"The weights in {folder} lack {len(missing)} tensors, such as {min(missing)}; fetch them again."
        )


def _finished(loaded: LoadedModel, spec: ModelSpec, progress: Progress) -> LoadedModel:
    """With the entry's adapter and chat template, where it names them."""
    adapted = _adapted(loaded, spec.adapter, progress)
    if spec.chat_template is None:
        return adapted
    tokenizer = with_template_file(adapted.tokenizer, Path(spec.chat_template))
    return replace(adapted, tokenizer=tokenizer, end_ids=end_ids_of(adapted.model, tokenizer))


def _adapted(loaded: LoadedModel, adapter: AdapterSpec | None, progress: Progress) -> LoadedModel:
    """The same weights under an adapter, in a tree of its own; as it is where there is no adapter."""
    if adapter is None:
        return loaded
    found = locate_adapter(adapter, progress)
    progress("Loading the adapter", None)
    model = with_adapter(loaded.model, read_adapter(found.folder))
    tokenizer = with_chat_template(loaded.tokenizer, found.folder)
    ends = end_ids_of(model, tokenizer)
    model.generation_config.eos_token_id = sorted(ends)  # for whoever calls transformers' own generate
    return replace(
        loaded,
        model=model,
        tokenizer=tokenizer,
        end_ids=ends,
        description=f"{loaded.description} with the adapter {found.description}",
        revision=f"{loaded.revision}+{found.revision}",
        adapter_name=found.description,
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """transformers' own bars and notices off for a while: progress and errors are told by whoever asked."""
    shown, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def _clear_errors(folder: Path) -> Iterator[None]:
    """transformers' errors about a folder as one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0]
        raise WeightsError(f"The model in {folder} cannot be loaded: {reason}") from error
