"""A class's votes as counts, shares and intervals, beside the paper's human result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from urial.corpus.intervals import wilson

OUTCOMES = ("base", "tie", "bad", "aligned")
# Section 4 of the paper: 100 questions, Mistral-7B with URIAL against Mistral-7B-Instruct (SFT), judged by people.
PAPER = {"base": 0.200, "tie": 0.711, "aligned": 0.089}


def of(winners: Iterable[str]) -> dict[str, Any]:
    """For each outcome its count, its share of n votes and Wilson's 95 % interval; shares are None without votes."""
    counts = Counter(winners)
    n = sum(counts[name] for name in OUTCOMES)
    return {
        "n": n,
        "outcomes": {
            name: {"count": counts[name], "share": counts[name] / n if n else None, "interval": wilson(counts[name], n)}
            for name in OUTCOMES
        },
    }
