"""Several answers decoded in one step: each row has its own keys and values, one read of the weights serves all.

A `Row` copies what its prompt left in a dynamic cache into room of its own and appends one token a step, so a step
copies nothing. `RowsCache` stands where transformers expects a cache and hands each row's keys and values to
`attend_by_row`, registered as an attention function under ROWS_ATTENTION.
Knows nothing about sampling, text or who waits for a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicSlidingWindowLayer

ROWS_ATTENTION = "urial_rows"


class RowLayer:
    """Keys and values [1, heads, length, head size] of one row in one layer, with room to grow."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, room: int, window: int | None) -> None:
        self._window = window  # the most positions a query may see, itself included; None sees all
        self._length = keys.shape[2]
        self._keys = self._with_room(keys, room)
        self._values = self._with_room(values, room)

    @staticmethod
    def _with_room(source: torch.Tensor, room: int) -> torch.Tensor:
        batch, heads, length, size = source.shape
        grown = source.new_empty(batch, heads, length + room, size)
        grown[:, :, :length] = source
        return grown

    def append(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one position [1, heads, 1, size]; returns all that its query may see."""
        self._keys[:, :, self._length] = keys[:, :, 0]
        self._values[:, :, self._length] = values[:, :, 0]
        self._length += 1
        start = max(0, self._length - self._window) if self._window else 0
        return self._keys[:, :, start : self._length], self._values[:, :, start : self._length]


class Row:
    """One answer's state: where it is, and its layers."""

    def __init__(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> None:
        self.is_adapted = is_adapted
        self.position = length  # of the next token
        self.layers = [
            RowLayer(layer.keys, layer.values, room, getattr(layer, "sliding_window", None)) for layer in prompt.layers
        ]


class RowsCache:
    """The cache of one step over some rows, in their order."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Append each row's position ([R, heads, 1, size] in all); returns one tensor a row."""
        pairs = [row.layers[layer_idx].append(keys[r : r + 1], values[r : r + 1]) for r, row in enumerate(self._rows)]
        return [key for key, _ in pairs], [value for _, value in pairs]


def attend_by_row(
    module: nn.Module,
    query: torch.Tensor,
    keys: list[torch.Tensor],
    values: list[torch.Tensor],
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """One query a row [R, heads, 1, size] over that row's own keys; the newest sees all, so there is no mask."""
    grouped = query.shape[1] != keys[0].shape[1]
    seen = [
        functional.scaled_dot_product_attention(query[r : r + 1], keys[r], values[r], scale=scaling, enable_gqa=grouped)
        for r in range(query.shape[0])
    ]
    return torch.cat(seen).transpose(1, 2), None


AttentionInterface.register(ROWS_ATTENTION, attend_by_row)


def can_decode_by_row(model: nn.Module, cache: DynamicCache) -> bool:
    """Whether plain attention over a row's own keys is all that this family does: no softcap, no linear attention."""
    config = model.config.get_text_config()
    softcapped = getattr(config, "attn_logit_softcapping", None) is not None
    plain = all(is_plain_layer(layer) for layer in cache.layers)
    return bool(getattr(model, "_supports_sdpa", False)) and not softcapped and plain


def is_plain_layer(layer: object) -> bool:
    """Whether a layer's cache is keys and values alone, of all positions or of a window."""
    return type(layer).__name__ in ("DynamicLayer", DynamicSlidingWindowLayer.__name__)
