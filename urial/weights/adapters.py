"""A LoRA adapter over a model whose tensors stay shared.

`share_tensors` makes a second tree of modules over the very same parameters; `attach_adapter` then puts low-rank
layers into one tree only, so that base and aligned run side by side and nothing is switched on or off.
A plain adapter becomes lean layers without peft (whose import alone takes seconds); anything beyond plain low-rank
matrices on linear layers goes through peft. Formula: Hu et al. 2021, https://arxiv.org/abs/2106.09685, eq. 3.
Knows nothing about where adapters come from.
"""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from urial.errors import WeightsError, WeightsMissing

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
LORA_NAME = re.compile(r"(?:base_model\.model\.)?(.+)\.(lora_[AB])\.weight")
BEYOND_PLAIN = ("use_dora", "modules_to_save", "trainable_token_indices", "fan_in_fan_out", "target_parameters")


class LowRankLinear(nn.Module):
    """y = base(x) + (x A^T) B^T, with A [r, in] and B [out, r], the scale folded into B."""

    def __init__(self, base: nn.Module, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + nn.functional.linear(nn.functional.linear(x, self.down), self.up)


def share_tensors(model: PreTrainedModel) -> PreTrainedModel:
    """A second tree of modules over the same parameter and buffer objects; only Python objects are copied."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def attach_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Puts the adapter of a peft folder into `model`, in place.

    Raises WeightsMissing (a file is not there) or WeightsError (damaged, or made for another model).
    """
    config = read_adapter_config(folder)
    if config.get("peft_type") != "LORA":
        raise WeightsError(f"The adapter in {folder} is of type {config.get('peft_type')!r}; only LORA can be used.")
    tensors = _read_tensors(folder / WEIGHTS)
    if _is_plain(config, tensors):
        _attach_plain(model, config, _halves_by_layer(tensors), folder)
    else:
        _attach_with_peft(model, folder)
    model.requires_grad_(False)


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """`adapter_config.json`. Raises WeightsMissing or WeightsError."""
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsMissing(f"No adapter in {folder}: it holds no {CONFIG}.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"The adapter's {folder / CONFIG} cannot be read: {error}") from error


def _is_plain(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> bool:
    """Whether the adapter is nothing but a pair of low-rank matrices for each of some linear layers."""
    beyond = config.get("bias", "none") != "none" or any(config.get(key) for key in BEYOND_PLAIN)
    return not beyond and all(LORA_NAME.fullmatch(name) for name in tensors)


def _halves_by_layer(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Layer name -> {"lora_A": [r, in], "lora_B": [out, r]}."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        layer, half = LORA_NAME.fullmatch(name).groups()
        halves.setdefault(layer, {})[half] = tensor
    return halves


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsMissing(f"The adapter lacks {path}; train it, or fetch it again.") from error
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"The adapter's {path} is damaged ({error}); fetch it again.") from error


def _attach_plain(
    model: PreTrainedModel, config: dict[str, Any], halves: dict[str, dict[str, torch.Tensor]], folder: Path
) -> None:
    layers = dict(model.named_modules())
    for name, half in halves.items():
        if set(half) != {"lora_A", "lora_B"} or name not in layers:
            raise WeightsError(f"The adapter in {folder} does not fit this model: layer {name!r} is not in both.")
        _check_shapes(layers[name], half, name, folder)
        parent, _, child = name.rpartition(".")
        setattr(layers[parent], child, _low_rank(layers[name], half, scale_of(config, name, half), model))


def _check_shapes(layer: nn.Module, half: dict[str, torch.Tensor], name: str, folder: Path) -> None:
    wanted = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    given = (half["lora_A"].shape[1], half["lora_B"].shape[0])
    if wanted != given or half["lora_A"].shape[0] != half["lora_B"].shape[1]:
        raise WeightsError(
            f"The adapter in {folder} does not fit this model: {name!r} maps {wanted[0]} to {wanted[1]} values, "
            f"the adapter {given[0]} to {given[1]}."
        )


def _low_rank(layer: nn.Module, half: dict[str, torch.Tensor], scale: float, model: PreTrainedModel) -> LowRankLinear:
    to = {"device": model.device, "dtype": model.dtype}
    return LowRankLinear(layer, half["lora_A"].to(**to), (half["lora_B"].float() * scale).to(**to))


def scale_of(config: dict[str, Any], name: str, half: dict[str, torch.Tensor]) -> float:
    """alpha / r, or alpha / sqrt(r) for rank-stabilised LoRA (https://arxiv.org/abs/2312.03732)."""
    rank = half["lora_A"].shape[0]
    alpha = _by_pattern(config.get("alpha_pattern") or {}, name, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: dict[str, float], name: str, default: float) -> float:
    """peft's rule: the first pattern that matches the end of the name after a dot, or all of it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def _attach_with_peft(model: PreTrainedModel, folder: Path) -> None:
    from peft import PeftModel  # seconds to import, and most adapters need none of it

    try:
        PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"The adapter in {folder} does not fit this model: {error}") from error
