"""Key-value caches that are read once and forked per request.

A fork shares every tensor with its source: transformers' dynamic layers rebind their tensors when they grow and never
write in place, so the source stays as it was. Layers that do update their state in place are copied.
Knows nothing about tokens' meaning or about sampling.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

REBINDING_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)  # exact types: subclasses may write in place


def fork(cache: DynamicCache) -> DynamicCache:
    """A cache that grows on its own; no tensor is copied for layers that rebind."""
    twin = copy.copy(cache)
    twin.layers = [
        copy.copy(layer) if type(layer) in REBINDING_LAYERS else copy.deepcopy(layer) for layer in cache.layers
    ]
    return twin


def grow(layer: DynamicLayer, keys: torch.Tensor, values: torch.Tensor, more: int) -> None:
    """Give a layer what it has held and `more` new positions, together [1, G, T, S]: its `update` without the copy."""
    if not layer.is_initialized:
        layer.lazy_initialization(keys, values)
    if isinstance(layer, DynamicSlidingWindowLayer):
        layer.cumulative_length += more
        keys, values = (held[:, :, 1 - layer.sliding_window :] for held in (keys, values))
    layer.keys, layer.values = keys, values


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model knows after reading some tokens: its cache, and the last hidden state [1, D]."""

    ids: tuple[int, ...]
    cache: DynamicCache
    last_hidden: torch.Tensor

    def fork(self) -> DynamicCache:
        return fork(self.cache)


class ReadingStore:
    """The few most recently used readings; the longest one that begins a prompt is where reading goes on."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._readings: OrderedDict[tuple[int, ...], Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readings)

    def longest_start(self, ids: Sequence[int]) -> Reading | None:
        """The stored reading with the most tokens that begins `ids`, or None."""
        wanted = tuple(ids)
        starts = [key for key in self._readings if wanted[: len(key)] == key]
        if not starts:
            return None
        best = max(starts, key=len)
        self._readings.move_to_end(best)
        return self._readings[best]

    def keep(self, reading: Reading) -> None:
        self._readings[reading.ids] = reading
        self._readings.move_to_end(reading.ids)
        while len(self._readings) > self._capacity:
            self._readings.popitem(last=False)

    def drop(self, ids: Sequence[int]) -> None:
        self._readings.pop(tuple(ids), None)
