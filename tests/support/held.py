"""What an engine of this process keeps in memory beside its weights: for tests that look for what is left behind."""

from __future__ import annotations

from dataclasses import dataclass

from urial.engines.local.engine import LocalEngine
from urial.engines.local.kv_cache import OwnCache, RaggedCache
from urial.engines.local.scheduler import scheduler


@dataclass(frozen=True, slots=True)
class Held:
    sequences: int
    prefixes: int
    bytes: int  # of keys and values, where transformers' layers run


def held(engine: LocalEngine) -> Held:
    """Of both sides where they share their weights."""
    thread, kept = scheduler(), engine.shared.prefixes._kept
    with thread._changed:
        arrived = [sequence for answer in thread._arrived for sequence in answer.sequences]
    sequences = [each for each in [*thread._sequences, *arrived] if each.model is engine.shared]
    prefixes = {id(prefix.cache): size(prefix.cache) for prefix in kept.values()}
    return Held(len(sequences), len(kept), sum(size(each.cache) for each in sequences) + sum(prefixes.values()))


def size(cache: object) -> int:
    """Bytes of keys and values; 0 for a cache that is not open, or of another kind."""
    if isinstance(cache, RaggedCache):
        return sum(tensor.nbytes for pair in cache.layers.values() for tensor in pair)
    if isinstance(cache, OwnCache):
        tensors = (getattr(layer, name, None) for layer in cache.layers.layers for name in ("keys", "values"))
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)
    return 0
