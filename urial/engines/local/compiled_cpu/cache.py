"""Keys and values of sequences, in spans of positions: a sequence lies where its prefix lies, as far as that goes.

Prefixes of prompts are long and shared, by the scored contexts of one comparison and by all visitors. Copies of them
would cost as much memory as the weights, and each pass would read every one of them.
Shapes: G groups of keys, S head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from urial.engines.local.runner import Prefix
from urial.kernels.attention import BLOCK, SPANS
from urial.kernels.layers import Layer
from urial.kernels.matrices import Floats
from urial.kernels.memory import aligned_empty


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Keys and values of positions from `begin` on: for each layer [blocks, 2, G, BLOCK, S], the first being
    `first_block`."""

    begin: int
    first_block: int
    layers: list[Floats]

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.layers)


@dataclass(slots=True, eq=False)
class CompiledCache:
    """One sequence: the spans of its prefix, and its own last."""

    length: int  # positions that count
    capacity: int
    spans: list[Span]
    table: NDArray[np.int64] = field(init=False)  # [layers, SPANS, 3], as `attend` reads it

    def __post_init__(self) -> None:
        # What is not used goes to the front: it ends where the first one begins.
        places = [[(0, 0, 0)] * (SPANS - len(self.spans)) + _places(self.spans, n) for n in range(self._layer_count)]
        self.table = np.array(places, np.int64)

    @property
    def _layer_count(self) -> int:
        return len(self.spans[-1].layers)

    @property
    def nbytes(self) -> int:
        """Of its own span; those of its prefix count where that is kept, and nowhere once nobody keeps it."""
        return self.spans[-1].nbytes


def _places(spans: Sequence[Span], layer: int) -> list[tuple[int, int, int]]:
    return [(span.layers[layer].ctypes.data, span.first_block, span.begin) for span in spans]


def open_cache(layers: Sequence[Layer], capacity: int, prefix: Prefix[CompiledCache] | None) -> CompiledCache:
    """A cache that begins with a prefix, in place; a copy of it where there is no room for more, to outlive the rest.

    Raises MemoryError where there is no room.
    """
    if prefix is None:
        return CompiledCache(0, capacity, [_empty(layers, 0, capacity)])
    spans = [span for span in prefix.cache.spans if span.begin < prefix.length]
    if capacity > prefix.length and len(spans) < SPANS:
        return CompiledCache(prefix.length, capacity, [*spans, _empty(layers, prefix.length, capacity)])
    own = _empty(layers, 0, capacity)
    for span, stop in zip(spans, [*(span.begin for span in spans[1:]), prefix.length], strict=True):
        _copy(span, stop, own)
    return CompiledCache(prefix.length, capacity, [own])


def _empty(layers: Sequence[Layer], begin: int, end: int) -> Span:
    first = begin // BLOCK
    blocks = -(-end // BLOCK) - first
    held = [aligned_empty(blocks, 2, layer.groups, BLOCK, layer.size) for layer in layers]
    return Span(begin, first, held)


def _copy(span: Span, stop: int, into: Span) -> None:
    """The positions of a span before `stop`."""
    for block in range(span.begin // BLOCK, -(-stop // BLOCK)):
        here = slice(max(0, span.begin - block * BLOCK), min(BLOCK, stop - block * BLOCK))
        for old, new in zip(span.layers, into.layers, strict=True):
            new[block - into.first_block][:, :, here] = old[block - span.first_block][:, :, here]
