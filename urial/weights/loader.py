"""Models in memory: one, or a pair that shares every tensor it can."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from urial.pairs import AdapterSpec, Dtype, ModelSpec, Quantization
from urial.progress import Progress, silent
from urial.weights.adapters import read_adapter, with_adapter
from urial.weights.chat import adapters_tokenizer, check_chat_template, end_ids_of, with_template_file
from urial.weights.placement import Placement, unpack_on_processors
from urial.weights.reports import check_report, clear_errors, quiet_transformers
from urial.weights.sameness import same_weights
from urial.weights.sources import locate_adapter, locate_model, locate_tokenizer

FOREIGN = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError, SafetensorError)


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
    same: str = ""  # why both sides are one model, in a sentence; empty where they are two


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
    check_chat_template(sides[1].tokenizer, sides[1].description)
    one, other = (side.model.get_input_embeddings().weight for side in sides)
    return LoadedPair(*sides, shares_weights=one is other, same=sameness(*sides))


def sameness(base: LoadedModel, aligned: LoadedModel) -> str:
    """Why base and aligned are one model, for people; empty where they are two."""
    if not same_weights(base.model, aligned.model, by_value=base.revision == aligned.revision):
        return ""
    adapter = next((side.adapter_name for side in (aligned, base) if side.adapter_name), None)
    is_idle = adapter is not None and base.adapter_name != aligned.adapter_name
    cause = f"the adapter {adapter} changes nothing" if is_idle else f"both sides are {base.description}"
    return f"Base and aligned model are the same ({cause}): whatever shift there is comes from the prompts alone."


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
    words = locate_tokenizer(spec.tokenizer, progress).folder if spec.tokenizer else found.folder
    progress("Loading the model", None)
    with quiet_transformers(), clear_errors(found.folder, FOREIGN):
        tokenizer = AutoTokenizer.from_pretrained(words)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            found.folder, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    model, report = loaded  # with output_loading_info it is a pair
    check_report(report, found.folder)
    model.eval().requires_grad_(False)
    unpack_on_processors(model)
    return LoadedModel(model, tokenizer, end_ids_of(model, tokenizer), found.description, found.revision)


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
    with quiet_transformers(), clear_errors(found.folder, FOREIGN):
        tokenizer = adapters_tokenizer(loaded.tokenizer, found.folder)
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
