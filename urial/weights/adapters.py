"""A LoRA adapter over a model whose tensors stay shared.

`share_tensors` makes a second tree of modules over the very same parameters; low-rank layers then go into one tree
only, so that base and aligned run side by side and nothing is switched on or off. A plain adapter (a pair of low-rank
matrices for each of some linear layers) needs no peft, whose import alone takes seconds. Anything beyond may change
the base's own tensors, so it goes through peft over a copy of them.
Formula: Hu et al. 2021, https://arxiv.org/abs/2106.09685, eq. 3.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from urial.errors import WeightsError, WeightsMissing
from urial.validation import json_value, kind_of
from urial.weights.adapter_settings import unknown_settings

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LORA_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.(lora_[AB])\.weight")
BEYOND_PLAIN = (
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "fan_in_fan_out",
    "target_parameters",
    "lora_bias",
)
USUAL_STARTS = (True, False, "gaussian")  # PiSSA and others move the base's own tensors
HALVES = {"lora_A", "lora_B"}


class LowRankLinear(nn.Module):
    """y = base(x) + (x A^T) B^T, with `down` = A [r, in] and `up` = B [out, r], the scale folded into B."""

    def __init__(self, base: nn.Module, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + nn.functional.linear(nn.functional.linear(x, self.down), self.up)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as it lies in its folder: its settings, and its tensors under peft's names."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    @property
    def is_plain(self) -> bool:
        """Whether it is nothing but low-rank matrices for linear layers."""
        beyond = any(self.config.get(key) for key in BEYOND_PLAIN) or self.config.get("bias", "none") != "none"
        usual_start = self.config.get("init_lora_weights", True) in USUAL_STARTS
        return not beyond and usual_start and all(LORA_NAME.fullmatch(name) for name in self.tensors)

    def unfit(self, reason: str) -> WeightsError:
        """The error for an adapter that was made for another model."""
        return WeightsError(f"The adapter in {self.folder} does not fit this model: {reason}")


def share_tensors(model: PreTrainedModel) -> PreTrainedModel:
    """A second tree of modules over the same parameter and buffer objects; only Python objects are copied."""
    kept: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    for module in model.modules():
        kept |= _quantised_state(module)
    return copy.deepcopy(model, kept)


def _quantised_state(module: nn.Module) -> dict[int, Any]:
    """What bitsandbytes keeps beside the parameters; for int8 it moves there at the first run, once for all trees."""
    if not type(module).__module__.startswith("bitsandbytes."):
        return {}
    if getattr(module.weight, "CB", None) is not None:
        module.init_8bit_state()  # type: ignore[operator]  # bitsandbytes has no types
    states = [getattr(module, name, None) for name in ("state", "quant_state")]
    return {id(state): state for state in states if state is not None}


def read_adapter(folder: Path) -> Adapter:
    """Raises WeightsMissing (a file is not there) or WeightsError (damaged, or no LoRA)."""
    config = _read_config(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise WeightsError(f"The adapter in {folder} is of type {config.get('peft_type')!r}; only LORA can be used.")
    if not isinstance(config.get("lora_alpha"), int | float):
        raise WeightsError(f"The adapter's {folder / CONFIG} names no lora_alpha; fetch it again.")
    if unknown := unknown_settings(config):
        raise WeightsError(
            f"The adapter in {folder} sets {', '.join(unknown)}, which this program does not run, so its numbers would "
            "be wrong; choose an adapter without."
        )
    return Adapter(folder, config, _read_tensors(folder / WEIGHTS))


def _read_config(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise WeightsMissing(f"The folder {path.parent} holds no {path.name}; name an adapter's folder.") from error
    except OSError as error:
        raise WeightsError(f"The adapter's {path} cannot be read: {error}") from error
    config = json_value(text, f"The adapter's {path}", "fetch it again", WeightsError)
    if not isinstance(config, dict):
        raise WeightsError(f"The adapter's {path} cannot be used: it is {kind_of(config)} and no settings.")
    return config


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsMissing(f"The adapter lacks {path}; train it, or fetch it again.") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The adapter's {path} is damaged ({error}); fetch it again.") from error


def with_adapter(model: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """A tree of its own with the adapter in it; `model` stays as it is.

    Every tensor is shared where the adapter is plain, none where it is not. Raises WeightsError if it does not fit.
    """
    if adapter.is_plain:
        return _with_low_rank_layers(share_tensors(model), adapter)
    return _with_peft(copy.deepcopy(model), adapter)


def _with_low_rank_layers(tree: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    layers = dict(tree.named_modules())
    for name, half in _halves_by_layer(adapter).items():
        if set(half) != HALVES or name not in layers:
            raise adapter.unfit(f"layer {name!r} is not in both.")
        parent, _, child = name.rpartition(".")
        setattr(layers[parent], child, _low_rank(tree, name, half, adapter))
    return tree


def _halves_by_layer(adapter: Adapter) -> dict[str, dict[str, torch.Tensor]]:
    """Layer name -> {"lora_A": [r, in], "lora_B": [out, r]}."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in adapter.tensors.items():
        if (found := LORA_NAME.fullmatch(name)) is not None:  # as `read_adapter` has made sure
            halves.setdefault(found[1], {})[found[2]] = tensor
    return halves


def _low_rank(tree: PreTrainedModel, name: str, half: dict[str, torch.Tensor], adapter: Adapter) -> LowRankLinear:
    layer = tree.get_submodule(name)
    down, up = half["lora_A"], half["lora_B"]
    wanted = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    if wanted != (down.shape[1], up.shape[0]) or len(down) != up.shape[1]:
        raise adapter.unfit(f"{name!r} maps {wanted}, the adapter {(down.shape[1], up.shape[0])}.")
    like = cast(torch.Tensor, layer.weight).device, tree.dtype  # a large model lies on several devices
    return LowRankLinear(layer, down.to(*like), (up.float() * scale_of(adapter.config, name, len(down))).to(*like))


def scale_of(config: dict[str, Any], name: str, rank: int) -> float:
    """alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (https://arxiv.org/abs/2312.03732)."""
    alpha = _by_pattern(config.get("alpha_pattern") or {}, name, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: dict[str, float], name: str, default: float) -> float:
    """peft's rule: the first pattern that matches the end of the name after a dot, or all of it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def _with_room(tree: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    """The tree with as many rows of embeddings as the adapter's own, where it brings some for more tokens."""
    embeddings = tree.get_input_embeddings()
    name = next(name for name, module in tree.named_modules() if module is embeddings)
    brought = [len(tensor) for key, tensor in adapter.tensors.items() if key.endswith(f"{name}.weight")]
    if brought and brought[0] != len(cast(torch.Tensor, embeddings.weight)):
        tree.config = copy.deepcopy(tree.config)  # the base's own says how many it has
        tree.resize_token_embeddings(brought[0], mean_resizing=False)
    return tree


def _with_peft(tree: PreTrainedModel, adapter: Adapter) -> PreTrainedModel:
    from peft import PeftModel, get_peft_model_state_dict  # seconds to import, and most adapters need none of it

    tree = _with_room(tree, adapter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they could tell is checked below
            adapted = PeftModel.from_pretrained(tree, str(adapter.folder))
            needed = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    except (RuntimeError, ValueError, OSError) as error:
        raise adapter.unfit(str(error).strip().split("\n")[0]) from error
    if lacking := set(needed) - set(adapter.tensors):
        raise adapter.unfit(f"it lacks {len(lacking)} tensors, such as {min(lacking)}.")
    return tree.requires_grad_(False)
