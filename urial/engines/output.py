"""Logits after a step, by the quickest way that this output layer and this machine allow; all ways are exact.

Packed weights give every logit, a screen the bounds that a greedy choice needs, and the layer itself always works.
Knows output layers; nothing about trunks, sampling or text.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.background import begin, done
from urial.engines.head import Head, Postprocess, family_postprocess
from urial.engines.screen import Screen, Screened, screen_of

if TYPE_CHECKING:
    from urial.engines.compiled.head import PackedHead

log = logging.getLogger(__name__)

Logits = torch.Tensor | Screened  # [1, V]

WORTH = 2**24  # weights; a smaller layer is read as quickly whole


class Output:
    """The output layer at the end of a step."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._head = Head(model)
        self._quick = quick_of(model.get_output_embeddings(), family_postprocess(model), self._head)

    @property
    def device(self) -> torch.device:
        return self._head.weight.device

    @property
    def is_prepared(self) -> bool:
        """Whether the quickest way is found."""
        return self._quick.done()

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether each row is multiplied by itself, the same to the last bit whatever the others are."""
        return not isinstance(self._quick.result(), Screen | None)

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor, *, is_greedy: bool) -> Sequence[Logits]:
        """Logits [1, V] for each of R hidden states [R, D]; with `is_greedy` bounds will do."""
        quick = self._quick.result()
        if isinstance(quick, Screen):
            bounded = is_greedy and bool(hidden.isfinite().all())
            return quick(hidden) if bounded else self._head(hidden).split(1)
        return (quick or self._head)(hidden).split(1)


def quick_of(layer: nn.Module, after: Postprocess, head: Head | None = None) -> Future[PackedHead | Screen | None]:
    """What helps a large layer on a processor, made beside whatever comes next; None for others.

    Given the `head`, also None where a family's own forward does more than the layer and `after`.
    """

    def find() -> PackedHead | Screen | None:
        return (packed_of(layer, after) or screen_of(layer, after)) if head is None or head.is_plain else None

    return begin(find) if suits(layer) else done(None)


def suits(layer: nn.Module) -> bool:
    """A large plain float32 layer on a processor."""
    weight = layer.weight
    plain = getattr(layer, "bias", None) is None and weight.dtype == torch.float32 and weight.device.type == "cpu"
    return plain and weight.numel() >= WORTH


def packed_of(layer: nn.Module, after: Postprocess) -> PackedHead | None:
    """A packed head; None where the weights do not pack or this machine cannot compile, or has no room."""
    try:
        from urial.engines.compiled.head import packed_head  # a compiler is imported only where it is of use

        return packed_head(layer.weight, after)
    except (ImportError, RuntimeError, OSError, MemoryError):
        log.warning("the output layer's loops could not be made; each step reads all of it", exc_info=True)
        return None
