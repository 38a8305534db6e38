"""Intervals for figures over many questions: the bootstrap over questions, and Wilson's interval for a share of votes.

Tokens of one answer depend on each other, so questions are what is drawn again, never tokens. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

DRAWS = 2_000
SEED = 20_240_601  # fixed: the same records give the same interval
LEVEL = 0.95
Z = 1.959963984540054  # the normal distribution's 97.5 % point

Statistic = Callable[[np.ndarray], np.ndarray]


def bootstrap(
    values: np.ndarray, statistic: Statistic, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float] | None:
    """The percentile interval of a statistic over questions; None for fewer than two questions.

    values: [N, F], a row of F numbers for each of N questions. statistic: [..., N, F] -> [...], over the last two
    axes' first. To bootstrap a paired difference, put both methods' numbers into one row.
    """
    count = len(values)
    if count < 2:
        return None
    generator = np.random.default_rng(seed)
    found = np.concatenate(
        [statistic(values[generator.integers(0, count, size=(size, count))]) for size in _chunks(draws, values.size)]
    )
    found = found[np.isfinite(found)]
    if not len(found):
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _chunks(draws: int, entries: int) -> list[int]:
    """Draws in parts that need at most about 80 MB each."""
    most = max(1, 10_000_000 // max(entries, 1))
    return [min(most, draws - start) for start in range(0, draws, most)]


def mean_of(values: np.ndarray) -> np.ndarray:
    """Mean over questions of the first column, those that are NaN left out: [..., N, F] -> [...]."""
    with np.errstate(invalid="ignore"):
        known = ~np.isnan(values[..., 0])
        return np.where(known, values[..., 0], 0).sum(-1) / known.sum(-1)


def ratio_of_sums(values: np.ndarray) -> np.ndarray:
    """Sum of the first column over sum of the second, such as shifted tokens over all: [..., N, 2] -> [...]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return values[..., 0].sum(-1) / values[..., 1].sum(-1)


def difference_of_ratios(values: np.ndarray) -> np.ndarray:
    """The paired difference of two ratios of sums, columns (a, of a, b, of b): [..., N, 4] -> [...]."""
    return ratio_of_sums(values[..., :2]) - ratio_of_sums(values[..., 2:])


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share (E. B. Wilson, 1927); None without trials."""
    if trials == 0:
        return None
    share = successes / trials
    scale = 1 + Z * Z / trials
    centre = (share + Z * Z / (2 * trials)) / scale
    half = Z * math.sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
