"""Finished comparisons, kept for downloads and for the same question asked again: bounded, packed, newest kept.

A record of some hundred tokens takes megabytes as objects and a tenth of that packed, so records are kept as
compressed JSON.
"""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from urial.records import Comparison, from_json, to_json

PACKING = 1  # the fastest level: it already takes most of the repetition out


@dataclass(frozen=True, slots=True)
class Result:
    """A packed record and when it was computed (UTC)."""

    packed: bytes
    computed_at: datetime

    def comparison(self) -> Comparison:
        return from_json(gzip.decompress(self.packed))

    def json_text(self) -> str:
        return gzip.decompress(self.packed).decode("utf-8")


def pack(comparison: Comparison, computed_at: datetime | None = None) -> Result:
    data = gzip.compress(to_json(comparison).encode("utf-8"), PACKING)
    return Result(data, computed_at or datetime.now(UTC))


class Results:
    """The last results, by name; at most `limit_bytes` together. Reading one makes it the newest."""

    def __init__(self, limit_bytes: int = 64 * 2**20) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Result] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def get(self, name: str) -> Result | None:
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
            return self._held.get(name)

    def put(self, name: str, result: Result) -> None:
        with self._lock:
            self._remove(name)
            self._held[name] = result
            self._bytes += len(result.packed)
            while self._bytes > self._limit and len(self._held) > 1:
                self._remove(next(iter(self._held)))

    def _remove(self, name: str) -> None:
        old = self._held.pop(name, None)
        self._bytes -= len(old.packed) if old else 0
