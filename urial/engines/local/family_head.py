"""The way from hidden states to logits that a family's own forward takes, whatever it does there.

Families scale, cap and shift before and after their output layer, under names that mean the opposite elsewhere
(Granite divides by `logits_scaling`, HyperCLOVA X multiplies). So no table of names is trusted: the family's own
forward is run with the layers under its head left out.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.backbone import backbone_name

TRIED = 4  # hidden states by which two heads are compared
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # of the logits' size; half precision rounds each by 0.4 %
HALF_TOLERANCE = 0.02


class Passed:
    """What layers return to a head: the hidden states, and nothing under any other name."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int | slice) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class Bypass(nn.Module):
    """Stands where the layers do, and gives back what it is given. Other questions go to the layers themselves."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.__dict__["layers_left_out"] = layers  # no child: nothing of theirs is to be run or moved

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> Passed:
        return Passed(inputs_embeds)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__dict__["layers_left_out"], name)
        return self if isinstance(found, PreTrainedModel) else found  # OPT calls the decoder inside its layers


class FamilyHead:
    """Hidden states [n, D] to float32 logits [n, V] by the family's own forward."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = copy.copy(model)
        name = backbone_name(model)
        self._model.__dict__["_modules"] = {**model._modules, name: Bypass(getattr(model, name))}

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._model(inputs_embeds=hidden[None], use_cache=False).logits[0].float()


def are_close(
    found: torch.Tensor, wanted: torch.Tensor, precision: torch.dtype, in_half: float = HALF_TOLERANCE
) -> bool:
    """Whether two sets of values [n, V] are the same but for the rounding of numbers of that precision."""
    wanted = wanted.to(found)
    if found.shape != wanted.shape:
        return False
    off = torch.linalg.vector_norm(found - wanted)
    return bool(off <= TOLERANCE.get(precision, in_half) * torch.linalg.vector_norm(wanted))


def some_states(model: PreTrainedModel, layer: nn.Module) -> torch.Tensor:
    """Hidden states [n, D] of no text in particular, always the same."""
    generator = torch.Generator().manual_seed(0)
    weight = cast(torch.Tensor, layer.weight)
    return torch.randn(TRIED, weight.shape[-1], generator=generator).to(weight.device, model.dtype)
