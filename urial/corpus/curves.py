"""Figures along the answer: at each position, and at each twentieth of it, with the number of answers beneath.

A curve ends where few answers reach: below a fifth of them, or below ten. Late positions are those of long answers
alone; `long_only` is the curve over the answers that reach its end, where n is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from urial.corpus.answers import Columns
from urial.corpus.intervals import ratio_intervals
from urial.corpus.shares import number

LEAST_SHARE, LEAST = 0.2, 10  # of all answers; answers
BINS = 20
MEASURES = ("kl", "log_rank", "base_probability", "shifted")

Values = dict[str, np.ndarray]  # measure -> [T], NaN where not counted


def measures(one: Columns) -> Values:
    counted = one.counted
    with np.errstate(divide="ignore"):
        found = {
            "kl": one.kl,
            "log_rank": np.log(one.rank.astype(np.float64)),
            "base_probability": one.probability,
            "shifted": (one.rank > 3).astype(np.float64),
        }
    return {name: np.where(counted, values, np.nan) for name, values in found.items()}


def length(one: Columns) -> int:
    """Positions up to the last counted one."""
    places = np.flatnonzero(one.counted)
    return int(places[-1]) + 1 if len(places) else 0


def curves(answers: Sequence[Columns]) -> dict[str, Any]:
    """{"n", "cut", "answers", one key for each measure, "long_only", "relative"}."""
    found = [(measures(one), length(one)) for one in answers]
    cut = cut_of([size for _, size in found])
    long = [values for values, size in found if size >= cut] if cut else []
    return {
        **_absolute([values for values, _ in found], cut),
        "long_only": _absolute(long, cut),
        "relative": _relative(found),
    }


def cut_of(lengths: Sequence[int]) -> int:
    """The first position that too few answers reach."""
    least = max(LEAST_SHARE * len(lengths), min(LEAST, len(lengths)), 1)
    longest = max(lengths, default=0)
    return next((t for t in range(longest) if sum(size > t for size in lengths) < least), longest)


def _absolute(found: Sequence[Values], cut: int) -> dict[str, Any]:
    tables = {name: _table([values[name] for values in found], cut) for name in MEASURES}  # [N, cut]
    known = np.isfinite(tables["kl"])
    lines = {name: _line(table, np.isfinite(table)) for name, table in tables.items()}
    for name, table in tables.items():
        lines[name]["median"] = [number(np.median(column[np.isfinite(column)])) for column in table.T]
    return {"answers": len(found), "cut": cut, "n": known.sum(0).astype(int).tolist(), **lines}


def _table(rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    table = np.full((len(rows), width), np.nan)
    for place, row in enumerate(rows):
        table[place, : min(width, len(row))] = row[:width]
    return table


def _relative(found: Sequence[tuple[Values, int]]) -> dict[str, Any]:
    """By twentieths: means over all tokens of a bin, drawn again by question."""
    shape = (len(found), BINS)
    wholes, parts = np.zeros(shape), {name: np.zeros(shape) for name in MEASURES}
    for place, (values, size) in enumerate(found):
        where = np.flatnonzero(np.isfinite(values["kl"]))
        bins = where * BINS // max(size, 1)
        wholes[place] = np.bincount(bins, minlength=BINS)
        for name in MEASURES:
            parts[name][place] = np.bincount(bins, values[name][where], minlength=BINS)
    lines = {name: _drawn(parts[name], wholes) for name in MEASURES}
    return {"bins": BINS, "n": wholes.sum(0).astype(int).tolist(), **lines}


def _line(table: np.ndarray, known: np.ndarray) -> dict[str, list[float | None]]:
    return _drawn(np.where(known, table, 0.0), known.astype(np.float64))


def _drawn(parts: np.ndarray, wholes: np.ndarray) -> dict[str, list[float | None]]:
    """{"mean", "low", "high"} of ratios of sums over answers."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = parts.sum(0) / wholes.sum(0)
    low, high = ratio_intervals(parts, wholes).T if parts.shape[1] else (mean, mean)
    return {name: [number(value) for value in row] for name, row in (("mean", mean), ("low", low), ("high", high))}
