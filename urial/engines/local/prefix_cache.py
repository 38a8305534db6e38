"""Prefixes of prompts that were read once, so that a prompt which begins with one of them is read on behind it.

Kept are the beginnings that a caller asked for (a method's constant text) and, while a comparison runs, its prompts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar

from urial.engines.local.runner import Prefix, SequenceCache

Ids = tuple[int, ...]
K = TypeVar("K")
V = TypeVar("V")


class PrefixCache:
    """The few most recently used prefixes of one set of weights, apart by the adapter's factor."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._wanted: OrderedDict[Ids, None] = OrderedDict()
        self._kept: OrderedDict[tuple[float, Ids], Prefix[SequenceCache]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        with self._lock:
            return sum({id(prefix.cache): prefix.cache.nbytes for prefix in self._kept.values()}.values())

    def want(self, ids: Sequence[int]) -> None:
        """Keep this beginning as soon as a prompt that has it is read."""
        with self._lock:
            _remember(self._wanted, tuple(ids), None, self._capacity)

    def lengths_to_keep(self, ids: Ids) -> list[int]:
        """The lengths at which a reader of this prompt should leave a prefix: wanted ones, and all but its last token.

        The last token is read by whoever continues: its logits are needed, and they are not kept.
        """
        with self._lock:
            wanted = {len(start) for start in self._wanted if len(start) < len(ids) and ids[: len(start)] == start}
        return sorted({*wanted, len(ids) - 1} - {0})

    def longest(self, adapter: float, ids: Ids) -> Prefix[SequenceCache] | None:
        """The longest kept prefix that leaves at least one token of the prompt to read."""
        with self._lock:
            starts = [
                key
                for key in self._kept
                if key[0] == adapter and len(key[1]) < len(ids) and ids[: len(key[1])] == key[1]
            ]
            if not starts:
                return None
            best = max(starts, key=lambda key: len(key[1]))
            self._kept.move_to_end(best)
            return self._kept[best]

    def keep(
        self, adapter: float, ids: Ids, prefix: Prefix[SequenceCache], is_left: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_left` tells whether the prompt's request was given up, and so will not forget it."""
        with self._lock:
            if is_left() and ids not in self._wanted:
                return
            _remember(self._kept, (adapter, ids), prefix, self._capacity)

    def forget(self, ids: Sequence[int]) -> None:
        """Free what is kept of a prompt, except for a beginning that is wanted for others."""
        whole = tuple(ids)
        with self._lock:
            for key in [key for key in self._kept if key[1] in (whole, whole[:-1]) and key[1] not in self._wanted]:
                del self._kept[key]


def _remember(held: OrderedDict[K, V], key: K, value: V, capacity: int) -> None:
    held[key] = value
    held.move_to_end(key)
    while len(held) > capacity:
        held.popitem(last=False)
