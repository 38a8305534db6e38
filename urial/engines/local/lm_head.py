"""From hidden states to logits: the output layer, and what a family does after it (Gemma's softcap, Cohere's and
Granite's scale).

No table of names is trusted with that: families scale, cap and shift before and after their output layer, under names
that mean the opposite elsewhere (Granite divides by `logits_scaling`, HyperCLOVA X multiplies). So the head is compared
with the family's own forward before it is first used: where they differ, that forward takes its place, run with the
layers under its head left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.backbone import backbone_name
from urial.engines.local.cpu_linear import WeightFirst, suits

WITHOUT_FLOAT64 = ("mps",)  # Apple's GPU (untested): exact statistics are worked out beside it, from the same memory
TRIED = 4  # hidden states by which two heads are compared
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # of the logits' size; half precision rounds each by 0.4 %
HALF_TOLERANCE = 0.02

Postprocess = Callable[[torch.Tensor], torch.Tensor]


def family_postprocess(model: PreTrainedModel) -> Postprocess:
    """What the family's forward does to the head's output, in float32."""
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    if cap:
        return lambda logits: torch.tanh(logits / cap) * cap
    if getattr(config, "logit_scale", None):
        return lambda logits: logits * config.logit_scale
    if getattr(config, "logits_scaling", None):
        return lambda logits: logits / config.logits_scaling
    return lambda logits: logits


class LmHead:
    """The output layer of one model: hidden states [n, D] to float32 logits [n, V]."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        layer = model.get_output_embeddings()
        self._layer = WeightFirst(layer) if suits(layer) else layer
        self._weight = cast(torch.Tensor, self._layer.weight)
        self._postprocess = family_postprocess(model)
        # A plain layer in half precision on a GPU multiplies with a float32 result: no ties from rounding.
        self._plain = type(self._layer) is nn.Linear and self._layer.bias is None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.to(self._weight.device)  # a model over several GPUs may end elsewhere
        logits = self._own(hidden) if self.family is None else self.family(hidden)
        return logits.cpu() if logits.device.type in WITHOUT_FLOAT64 else logits

    @cached_property  # at the first use, as a GPU may be there only then
    @torch.inference_mode()
    def family(self) -> FamilyHead | None:
        """The family's own way, where it comes to other logits than output layer and `family_postprocess`."""
        family, states = FamilyHead(self._model), some_states(self._model, self._layer)
        return None if are_close(self._own(states), family(states), states.dtype) else family

    def _own(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._postprocess(self._multiply(hidden))

    def _multiply(self, hidden: torch.Tensor) -> torch.Tensor:
        half = hidden.dtype in (torch.bfloat16, torch.float16)
        if self._plain and half and hidden.is_cuda:
            return torch.mm(hidden, self._weight.t(), out_dtype=torch.float32)
        return self._layer(hidden).float()


class FamilyHead:
    """Hidden states [n, D] to float32 logits [n, V] by the family's own forward."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = copy.copy(model)
        name = backbone_name(model)
        self._model.__dict__["_modules"] = {**model._modules, name: Bypass(getattr(model, name))}

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._model(inputs_embeds=hidden[None], use_cache=False).logits[0].float()


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
