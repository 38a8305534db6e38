"""Contestants in turns, medians and ratios."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from urial.bench.contestants import Contestant, Found

SAME_JOB = "llama.cpp, the same job"


@dataclass(slots=True)
class Timings:
    """Seconds by contestant, one for each query and round, and what each found last for each query."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    found: dict[str, dict[str, Found]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, slower: str, faster: str) -> float:
        """Median over rounds of slower / faster: both of a round ran within the same minutes."""
        pairs = zip(self.seconds[slower], self.seconds[faster], strict=True)
        return statistics.median(one / other for one, other in pairs)


def take_turns(contestants: Sequence[Contestant], queries: Sequence[str], rounds: int) -> Timings:
    """Every contestant once on the first query to warm up, then all of them on each query, `rounds` times."""
    timings = Timings()
    for contestant in contestants:
        contestant.run(queries[0])
    for _ in range(rounds):
        for query in queries:
            for contestant in contestants:
                started = time.perf_counter()
                found = contestant.run(query)
                timings.seconds.setdefault(contestant.name, []).append(time.perf_counter() - started)
                timings.found.setdefault(contestant.name, {})[query] = found
    return timings


def agreement(one: dict[str, Found], other: dict[str, Found]) -> dict[str, float]:
    """Fractions of equal tokens up to the first difference, and of equal ranks where the answers are the same."""
    pairs = [(one[query], other[query]) for query in one]
    tokens = [same_start(a.aligned, b.aligned) / len(a.aligned) for a, b in pairs]
    base = [same_start(a.base, b.base) / len(a.base) for a, b in pairs]
    ranks = [
        sum(x == y for x, y in zip(a.ranks[name], b.ranks[name], strict=True)) / len(a.ranks[name])
        for a, b in pairs
        for name in a.ranks
        if a.aligned == b.aligned and name in b.ranks
    ]
    return {
        "aligned_tokens": statistics.mean(tokens),
        "base_tokens": statistics.mean(base),
        "ranks": statistics.mean(ranks) if ranks else float("nan"),
    }


def same_start(one: Sequence[int], other: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def peak_rss_gb() -> float:
    """The most memory that this process has held so far, in GB (10^9 bytes).

    Linux tells it itself: `getrusage` begins a child at its parent's size.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
