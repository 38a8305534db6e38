"""From hidden states to logits: the output layer, and what a family does after it (Gemma's softcap, Cohere's and
Granite's scale).

It is compared with the family's own forward before it is first used: where they differ, that forward takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.cpu_linear import layer_first
from urial.engines.local.family_head import FamilyHead, are_close, some_states

WITHOUT_FLOAT64 = ("mps",)  # Apple's GPU (untested): exact statistics are worked out beside it, from the same memory

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
        self._layer = layer_first(model.get_output_embeddings())
        self._weight = cast(torch.Tensor, self._layer.weight)
        self._postprocess = family_postprocess(model)
        # A plain layer in half precision on a GPU multiplies with a float32 result: no ties from rounding.
        self._plain = type(self._layer) is nn.Linear and self._layer.bias is None
        self._family: FamilyHead | None = None
        self._is_chosen = False  # at the first use, as a GPU may be there only then

    @property
    def is_plain(self) -> bool:
        """Whether it is the output layer and `family_postprocess`, as in the family's own forward."""
        if not self._is_chosen:
            self._family, self._is_chosen = self._needed(), True
        return self._family is None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.to(self._weight.device)  # a model over several GPUs may end elsewhere
        logits = self._own(hidden) if self.is_plain or self._family is None else self._family(hidden)
        return logits.cpu() if logits.device.type in WITHOUT_FLOAT64 else logits

    @torch.inference_mode()
    def _needed(self) -> FamilyHead | None:
        """The family's own way, where it comes to other logits than this one."""
        family, states = FamilyHead(self._model), some_states(self._model, self._layer)
        return None if are_close(self._own(states), family(states), states.dtype) else family

    def _own(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._postprocess(self._multiply(hidden))

    def _multiply(self, hidden: torch.Tensor) -> torch.Tensor:
        half = hidden.dtype in (torch.bfloat16, torch.float16)
        if self._plain and half and hidden.is_cuda:
            return torch.mm(hidden, self._weight.t(), out_dtype=torch.float32)
        return self._layer(hidden).float()
