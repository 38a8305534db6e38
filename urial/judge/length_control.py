"""How often one side wins, and how often it would if both answers were of the same length.

AlpacaEval 2's idea (Dubois and others, 2024) in its smallest form: a logistic regression of the outcome on an
intercept and tanh(difference of lengths / its standard deviation), read off where the difference is zero. Two
parameters, a small ridge on both, Newton's method. Shapes: N questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from urial.corpus.intervals import bootstrap, mean_of

RIDGE = 1e-2
STEPS = 200
SMALLEST_STEP = 1e-10
LARGEST_ROW = 2.0**0.5  # the norm of (1, tanh) is at most this
FAR_APART = 0.10  # AlpacaEval's authors warn from here on

Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class WinRate:
    """Shares from 0 to 1, ties count half; `length_controlled` is None with a `reason` where it cannot be told."""

    raw: float | None
    raw_interval: Interval
    length_controlled: float | None
    length_controlled_interval: Interval
    n: int
    reason: str


def win_rate(outcomes: np.ndarray, lengths: np.ndarray) -> WinRate:
    """outcomes: [N], 1 won, 0.5 tie, 0 lost. lengths: [N], own length minus the other's, in characters."""
    n = len(outcomes)
    if not n:
        return WinRate(None, None, None, None, 0, "No question was judged.")
    raw = float(outcomes.mean())
    raw_interval = bootstrap(outcomes[:, None], mean_of)
    covariate = length_covariate(lengths)
    reason = _why_not(covariate, outcomes)
    if reason:
        return WinRate(raw, raw_interval, None, None, n, reason)
    values = np.stack([covariate, outcomes], axis=1)
    controlled = float(controlled_rate(values))
    return WinRate(raw, raw_interval, controlled, bootstrap(values, controlled_rate), n, "")


def length_covariate(lengths: np.ndarray) -> np.ndarray:
    """[N] -> [N]: tanh of the length difference in its own standard deviations; zero where all are equal."""
    lengths = np.asarray(lengths, dtype=np.float64)
    spread = lengths.std()
    return np.tanh(lengths / spread) if spread > 0 else np.sign(lengths) * np.tanh(1.0)


def _why_not(x: np.ndarray, y: np.ndarray) -> str:
    """Why the rate at equal lengths cannot be told; empty where it can. x, y: [N]."""
    if (x > 0).all():
        return "It is the longer answer in every question, so length and quality cannot be told apart."
    if (x < 0).all():
        return "It is the shorter answer in every question, so length and quality cannot be told apart."
    if _is_untold(x, y):
        which = "longer" if y[x > 0].sum() else "shorter"
        return f"The {which} answer won every time: length explains it all, and leaves nothing to say of equal lengths."
    return ""


def _is_untold(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether nothing was seen that tells the rate where x is 0: [..., N] -> [...].

    One side is always the longer, or the sign of the length decides every outcome: any rate at 0 fits such data.
    """
    is_longer = ((x > 0) & (y == 1)) | ((x < 0) & (y == 0))
    is_shorter = ((x < 0) & (y == 1)) | ((x > 0) & (y == 0))
    return (x > 0).all(-1) | (x < 0).all(-1) | is_longer.all(-1) | is_shorter.all(-1)


def controlled_rate(values: np.ndarray) -> np.ndarray:
    """The rate at no difference of length: [..., N, 2] (covariate, outcome) -> [...]; NaN where it cannot be told."""
    x, y = values[..., 0], values[..., 1]
    return np.where(_is_untold(x, y), np.nan, sigmoid(fit(x, y)[..., 0]))


def fit(x: np.ndarray, y: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """Intercept and slope that minimise the logistic loss plus ridge/2 (a^2 + b^2): [..., N] -> [..., 2].

    Damped Newton steps, log(1 + m d) / (m d) of a step of length d with rows of norm at most m: they converge from
    anywhere, also where the outcomes are separable (Sun and Tran-Dinh, 2019, for losses such as this one).
    """
    found = np.zeros((*x.shape[:-1], 2))
    for _ in range(STEPS):
        step = _newton_step(found, x, y, ridge)
        size = LARGEST_ROW * np.linalg.norm(step, axis=-1, keepdims=True)
        damping = np.where(size > 1e-8, np.log1p(size) / np.maximum(size, 1e-300), 1.0)
        found = found - damping * step
        if np.abs(step).max(initial=0.0) < SMALLEST_STEP:
            break
    return found


def _newton_step(found: np.ndarray, x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """The Hessian's inverse times the gradient, in closed form for two parameters."""
    a, b = found[..., :1], found[..., 1:]
    p = sigmoid(a + b * x)
    w = p * (1 - p)
    g0 = (p - y).sum(-1) + ridge * a[..., 0]
    g1 = ((p - y) * x).sum(-1) + ridge * b[..., 0]
    h00, h01, h11 = w.sum(-1) + ridge, (w * x).sum(-1), (w * x * x).sum(-1) + ridge
    determinant = h00 * h11 - h01 * h01
    return np.stack([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0], axis=-1) / determinant[..., None]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))
