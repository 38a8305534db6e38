"""From hidden states to logits: the output layer, and what a family does after it (Gemma's softcap, Cohere's and
Granite's scale)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.cpu_linear import layer_first

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
        self._layer = layer_first(model.get_output_embeddings())
        self._postprocess = family_postprocess(model)
        # A plain layer in half precision on a GPU multiplies with a float32 result: no ties from rounding.
        self._plain = type(self._layer) is nn.Linear and self._layer.bias is None

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden.to(self._layer.weight.device)  # a model over several GPUs may end elsewhere
        return self._postprocess(self._multiply(hidden))

    def _multiply(self, hidden: torch.Tensor) -> torch.Tensor:
        half = hidden.dtype in (torch.bfloat16, torch.float16)
        if self._plain and half and hidden.is_cuda:
            return torch.mm(hidden, self._layer.weight.t(), out_dtype=torch.float32)
        return self._layer(hidden).float()
