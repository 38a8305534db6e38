"""Intervals for figures over many questions: the bootstrap over questions, and Wilson's interval for a share of votes.

Tokens of one answer depend on each other, so questions are what is drawn again, never tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

DRAWS = 2_000
FLIPS = 9_999
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


def ratio_intervals(
    parts: np.ndarray, wholes: np.ndarray, less: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Percentile intervals of many ratios of sums over the same questions: parts, wholes [N, F] -> [F, 2].

    `less` gives parts and wholes of ratios that are taken away from them, question by question paired. NaN where there
    are fewer than two questions, or where no draw has a value. The draws are those of `bootstrap`.
    """
    count = len(parts)
    if count < 2:
        return np.full((parts.shape[1], 2), np.nan)
    found = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for drawn in draw_counts(count):
            ratio = (drawn @ parts) / (drawn @ wholes)
            found.append(ratio if less is None else ratio - (drawn @ less[0]) / (drawn @ less[1]))
    values = np.concatenate(found)  # [draws, F]
    values[~np.isfinite(values)] = np.nan
    empty = np.isnan(values).all(0)
    values[:, empty] = 0.0
    limits = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T
    limits[empty] = np.nan
    return limits


def draw_counts(count: int, draws: int = DRAWS, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each of `count` questions is in each draw: matrices [some of the draws, count] of float64."""
    generator = np.random.default_rng(seed)
    for size in _chunks(draws, 2 * count):
        drawn = generator.integers(0, count, size=(size, count))
        flat = drawn + count * np.arange(size)[:, None]
        yield np.bincount(flat.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def sign_flip_p(differences: np.ndarray, flips: int = FLIPS, seed: int = SEED) -> float | None:
    """How probable a mean this far from 0 is if signs were coins: [N] -> p, two-sided; None for N < 2."""
    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return None
    generator = np.random.default_rng(seed)
    limit, above = abs(known.sum()) * (1 - 1e-12), 0
    for size in _chunks(flips, len(known)):
        signs = generator.integers(0, 2, size=(size, len(known))) * 2 - 1
        above += int((np.abs(signs @ known) >= limit).sum())
    return (1 + above) / (1 + flips)


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
