"""How far raters agree: percent, Cohen's kappa for two, Krippendorff's alpha for many with gaps.

Definitions: J. Cohen, 1960 and 1968 (quadratic weights); K. Krippendorff, Content Analysis, chapter 12. Labels may be
anything; for quadratic weights and the ordinal alpha their order is given.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

Label = Hashable


def percent(first: Sequence[Label], second: Sequence[Label]) -> float | None:
    """The share of items on which two raters say the same; None without items."""
    if not first:
        return None
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def cohen_kappa(
    first: Sequence[Label], second: Sequence[Label], labels: Sequence[Label], *, quadratic: bool = False
) -> float | None:
    """Agreement beyond chance of two raters; None without items or where chance alone explains everything."""
    if not first:
        return None
    places = {label: place for place, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)))
    for a, b in zip(first, second, strict=True):
        table[places[a], places[b]] += 1
    table /= table.sum()
    chance = np.outer(table.sum(1), table.sum(0))
    away = np.abs(np.subtract.outer(np.arange(len(labels)), np.arange(len(labels))))
    weights = away**2 if quadratic else away > 0
    expected = (weights * chance).sum()
    return None if expected == 0 else float(1 - (weights * table).sum() / expected)


def krippendorff_alpha(
    units: Sequence[Sequence[Label]], labels: Sequence[Label], *, level: Literal["nominal", "ordinal"] = "nominal"
) -> float | None:
    """Agreement of any number of raters; `units` holds each item's ratings, as many as there are.

    None where fewer than two ratings stand together anywhere, or where all ratings are the same.
    """
    places = {label: place for place, label in enumerate(labels)}
    matches = np.zeros((len(labels), len(labels)))  # coincidences of two ratings of one unit
    for unit in units:
        if len(unit) < 2:
            continue
        counts = np.bincount([places[label] for label in unit], minlength=len(labels)).astype(float)
        matches += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    totals = matches.sum(0)
    n = totals.sum()
    if n < 2:
        return None
    distance = _distances(totals, level)
    expected = (distance * np.outer(totals, totals)).sum()
    return None if expected == 0 else float(1 - (n - 1) * (distance * matches).sum() / expected)


def _distances(totals: np.ndarray, level: str) -> np.ndarray:
    """[L, L] squared distances: 0 or 1, or by how many ratings lie between two ranks."""
    count = len(totals)
    if level == "nominal":
        return 1.0 - np.eye(count)
    running = np.concatenate([[0.0], np.cumsum(totals)])
    found = np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1, count):
            between = running[b + 1] - running[a] - (totals[a] + totals[b]) / 2
            found[a, b] = found[b, a] = between**2
    return found
