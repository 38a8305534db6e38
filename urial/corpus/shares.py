"""Shares and means over answers, pooled over tokens and per answer, each with its interval; and their differences.

Every figure is a ratio of sums over questions: its bootstrap draws questions (`intervals.py`), never tokens. Shapes:
N answers, F figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from urial.corpus.answers import Columns
from urial.corpus.intervals import ratio_intervals, sign_flip_p

FIGURES = ("unshifted", "marginal", "shifted", "mean_kl")

Mask = np.ndarray


@dataclass(frozen=True, slots=True)
class Sums:
    """For each answer, what its counted positions add up to. `parts` [N, F], `wholes` [N, F]: tokens."""

    parts: np.ndarray
    wholes: np.ndarray

    @property
    def per_answer(self) -> np.ndarray:
        """[N, F]; NaN for an answer without a counted position."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.parts / self.wholes

    def only(self, chosen: np.ndarray) -> Sums:
        return Sums(self.parts[chosen], self.wholes[chosen])


def sums(answers: Sequence[Columns], masks: Sequence[Mask]) -> Sums:
    """Over the positions that `masks` [T] choose of each answer."""
    parts = np.array([_parts(one, mask) for one, mask in zip(answers, masks, strict=True)], np.float64)
    wholes = np.array([[mask.sum()] * len(FIGURES) for mask in masks], np.float64)
    shape = (len(answers), len(FIGURES))
    return Sums(parts.reshape(shape), wholes.reshape(shape))


def _parts(one: Columns, mask: Mask) -> list[float]:
    rank = one.rank[mask]
    return [(rank == 1).sum(), ((rank > 1) & (rank <= 3)).sum(), (rank > 3).sum(), math.fsum(one.kl[mask])]


def counted(answers: Sequence[Columns], *, with_end: bool = False) -> Sums:
    return sums(answers, [one.rank > 0 if with_end else one.counted for one in answers])


def figures(found: Sums) -> dict[str, Any]:
    """{"answers", "tokens", "pooled", "interval", "per_answer", "per_answer_interval", "median"}."""
    values = found.per_answer
    known = np.isfinite(values)
    means = ratio_intervals(np.where(known, values, 0.0), known.astype(np.float64))
    return {
        "answers": int(known[:, 0].sum()),
        "tokens": int(found.wholes[:, 0].sum()),
        "pooled": named(pooled(found)),
        "interval": limits(ratio_intervals(found.parts, found.wholes)),
        "per_answer": named(_over(values, np.mean)),
        "per_answer_interval": limits(means),
        "median": named(_over(values, np.median)),
    }


def pooled(found: Sums) -> np.ndarray:
    """[F]: the paper's way, one ratio over all tokens."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return found.parts.sum(0) / found.wholes.sum(0)


def _over(values: np.ndarray, statistic: Callable[[np.ndarray], float]) -> np.ndarray:
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([statistic(column) if len(column) else np.nan for column in columns])


def difference(first: Sums, second: Sums) -> dict[str, Any]:
    """`first` less `second`, of the same questions in the same order, pooled; p by flipping signs of answers' own."""
    apart = first.per_answer - second.per_answer
    return {
        "questions": int(np.isfinite(apart[:, 0]).sum()) if len(apart) else 0,
        "pooled": named(pooled(first) - pooled(second)),
        "interval": limits(ratio_intervals(first.parts, first.wholes, (second.parts, second.wholes))),
        "p": {name: sign_flip_p(apart[:, place]) for place, name in enumerate(FIGURES)},
    }


def named(values: np.ndarray) -> dict[str, float | None]:
    return {name: number(value) for name, value in zip(FIGURES, values, strict=True)}


def limits(values: np.ndarray) -> dict[str, list[float] | None]:
    return {name: interval(pair) for name, pair in zip(FIGURES, values, strict=True)}


def interval(pair: np.ndarray) -> list[float] | None:
    return [float(pair[0]), float(pair[1])] if np.isfinite(pair).all() else None


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
