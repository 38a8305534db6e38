"""The KV cache of one sequence, as the runners over transformers' layers keep it.

`RaggedCache` is a tensor a layer with room for the whole answer; `OwnCache` is what the family itself uses, which may
hold other states than keys and values. `prefix_cache.py` says which are kept for the next prompt.
Shapes: G groups of keys, S head size, n new positions.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from urial.engines.local.runner import Prefix

PLAIN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)  # exact types: they rebind their tensors when they grow


@dataclass(slots=True, eq=False)
class RaggedCache:
    """Keys and values [1, G, capacity, S] of one sequence in each layer; only the first `length` positions count."""

    capacity: int
    length: int = 0
    layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for pair in self.layers.values() for tensor in pair)

    def write(self, index: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put n new positions [1, G, n, S] behind those that count; returns all up to them."""
        if index not in self.layers:
            shapes = [(1, tensor.shape[1], self.capacity, tensor.shape[3]) for tensor in (keys, values)]
            self.layers[index] = (keys.new_empty(shapes[0]), values.new_empty(shapes[1]))
        stop = self.length + keys.shape[2]
        if stop > self.capacity:
            raise RuntimeError("a sequence has got longer than the room that was asked for")
        for held, new in zip(self.layers[index], (keys, values), strict=True):
            held[:, :, self.length : stop] = new
        return self.layers[index][0][:, :, :stop], self.layers[index][1][:, :, :stop]


def begun_with(prefix: Prefix[RaggedCache] | None, capacity: int) -> RaggedCache:
    """A cache of its own that begins with a copy of the prefix, or empty."""
    cache = RaggedCache(capacity)
    if prefix is not None:
        for index, pair in prefix.cache.layers.items():
            keys, values = (held[:, :, : prefix.length] for held in pair)
            cache.write(index, keys, values)
        cache.length = prefix.length
    return cache


@dataclass(slots=True, eq=False)
class OwnCache:
    """A family's own cache in transformers."""

    layers: DynamicCache

    @property
    def nbytes(self) -> int:
        tensors = (getattr(layer, name, None) for layer in self.layers.layers for name in ("keys", "values"))
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def fork(self) -> OwnCache:
        """Grows on its own: layers that rebind their tensors share them, others are copied."""
        twin = copy.copy(self.layers)
        layers = self.layers.layers
        twin.layers = [copy.copy(each) if type(each) in PLAIN_LAYERS else copy.deepcopy(each) for each in layers]
        return OwnCache(twin)
