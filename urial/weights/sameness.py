"""Whether two models hold the same weights, adapters included: then no shift comes from tuning."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from urial.weights.adapters import LowRankLinear


def same_weights(one: PreTrainedModel, other: PreTrainedModel, *, by_value: bool) -> bool:
    """Whether both are one object or share each tensor; `by_value` compares those that they do not share, which takes
    a reading of both. An adapter whose product is zero counts as none."""
    if one is other:
        return True
    ours, theirs = _tensors(one), _tensors(other)
    if ours.keys() != theirs.keys():
        return False
    return all(_is_same(tensor, theirs[name], by_value) for name, tensor in ours.items())


def _is_same(one: torch.Tensor, other: torch.Tensor, by_value: bool) -> bool:
    return one is other or (by_value and one.dtype == other.dtype and torch.equal(one, other))


def _tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """By name, as if no low-rank layer whose product is zero were there."""
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    for name, layer in model.named_modules():
        if isinstance(layer, LowRankLinear):
            down, up = found.pop(f"{name}.down"), found.pop(f"{name}.up")
            base = {key: found.pop(key) for key in list(found) if key.startswith(f"{name}.base.")}
            found |= {key.replace(f"{name}.base.", f"{name}."): tensor for key, tensor in base.items()}
            if down.any() and up.any():
                found |= {f"{name}.lora_A": down, f"{name}.lora_B": up}
    return found
