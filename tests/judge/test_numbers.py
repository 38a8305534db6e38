"""Length control and agreement against independent float64 references, published examples and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urial.judge.agreement import cohen_kappa, krippendorff_alpha, percent
from urial.judge.length_control import RIDGE, controlled_rate, fit, length_covariate, sigmoid, win_rate


def loss(a: float, b: float, x: list[float], y: list[float]) -> float:
    """The penalised logistic loss, in plain Python."""
    terms = (math.log1p(math.exp(-abs(z))) + max(z, 0) - yi * z for z, yi in ((a + b * xi, yi) for xi, yi in zip(x, y, strict=True)))  # noqa: E501  # fmt: skip
    return math.fsum(terms) + RIDGE / 2 * (a * a + b * b)


points = st.lists(st.tuples(st.floats(-1, 1), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=40)


@given(points)
@settings(max_examples=60, deadline=None)
def test_the_fit_is_the_minimum(found: list[tuple[float, float]]) -> None:
    """No step in any direction lowers a strictly convex loss; the gradient is nothing."""
    x, y = [list(column) for column in zip(*found, strict=True)]
    a, b = fit(np.array(x), np.array(y))
    least = loss(a, b, x, y)
    for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3), (1e-3, 1e-3), (-1e-3, 1e-3)):
        assert loss(a + da, b + db, x, y) > least
    p = [1 / (1 + math.exp(-(a + b * xi))) for xi in x]
    assert abs(math.fsum(pi - yi for pi, yi in zip(p, y, strict=True)) + RIDGE * a) < 1e-7
    assert abs(math.fsum((pi - yi) * xi for pi, yi, xi in zip(p, y, x, strict=True)) + RIDGE * b) < 1e-7


def test_many_fits_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    x, y = np.tanh(rng.normal(size=(7, 5, 30))), rng.choice([0, 0.5, 1], size=(7, 5, 30))
    together = fit(x, y)
    for i in range(7):
        for j in range(5):
            np.testing.assert_allclose(together[i, j], fit(x[i, j], y[i, j]), atol=1e-8)


def test_separable_outcomes_converge() -> None:
    x = np.tanh(np.linspace(-2, 2, 40))
    a, b = fit(x, (x > 0).astype(float))
    assert b > 5 and abs(a) < 1e-9


def test_a_judge_that_likes_length_wins_raw_and_not_controlled() -> None:
    """It takes the longer answer nine times of ten, and quality is the same: at equal lengths it is a coin."""
    rng = np.random.default_rng(1)
    lengths = rng.normal(120, 200, size=400)  # the longer one in about 73 % of questions
    longer_wins = rng.random(400) < 0.9
    found = win_rate(((lengths > 0) == longer_wins).astype(float), lengths)
    assert found.raw_interval[0] > 0.6
    low, high = found.length_controlled_interval
    assert low < 0.5 < high and found.raw - found.length_controlled > 0.1


def test_where_length_decides_everything_nothing_is_told_of_equal_lengths() -> None:
    lengths = np.array([300.0] * 24 + [-300.0] * 8)
    found = win_rate((lengths > 0).astype(float), lengths)
    assert found.raw == 0.75 and found.length_controlled is None and "longer answer won every time" in found.reason
    assert "shorter answer won" in win_rate((lengths < 0).astype(float), lengths).reason
    one_tie = win_rate(np.append((lengths > 0).astype(float), 0.5), np.append(lengths, 0))
    assert one_tie.length_controlled is not None


def test_a_judge_that_likes_quality_wins_both_ways() -> None:
    rng = np.random.default_rng(2)
    lengths = rng.normal(0, 200, size=200)
    found = win_rate((rng.random(200) < 0.8).astype(float), lengths)
    assert abs(found.raw - found.length_controlled) < 0.03 and found.length_controlled_interval[0] > 0.6


def test_swapping_the_sides_mirrors_both_rates() -> None:
    rng = np.random.default_rng(3)
    lengths, outcomes = rng.normal(50, 100, size=60), rng.choice([0, 0.5, 1], size=60)
    one, other = win_rate(outcomes, lengths), win_rate(1 - outcomes, -lengths)
    assert one.raw + other.raw == pytest.approx(1) and one.length_controlled + other.length_controlled == pytest.approx(
        1
    )


def test_what_cannot_be_told_is_not_told() -> None:
    longer = win_rate(np.ones(9), np.arange(1, 10))
    assert longer.raw == 1 and longer.length_controlled is None and "longer" in longer.reason
    assert "shorter" in win_rate(np.zeros(9), -np.arange(1, 10)).reason
    assert win_rate(np.array([]), np.array([])).raw is None
    equal = win_rate(np.array([1.0, 1, 0.5, 0]), np.zeros(4))
    assert equal.length_controlled == pytest.approx(equal.raw, abs=0.01)
    assert np.isnan(controlled_rate(np.array([[0.5, 1.0], [0.2, 0.0]])))
    assert (length_covariate(np.array([5.0, 5.0])) > 0).all()


@given(st.floats(-700, 700))
def test_sigmoid(z: float) -> None:
    assert sigmoid(np.float64(z)) == pytest.approx(1 / (1 + math.exp(-z)) if z > -700 else 0, abs=1e-12)


KRIPPENDORFF = [  # the book's example, twelve units of up to four raters
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip


def test_alpha_of_the_books_example() -> None:
    labels = [1, 2, 3, 4, 5]
    assert krippendorff_alpha(KRIPPENDORFF, labels) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(KRIPPENDORFF, labels, level="ordinal") == pytest.approx(0.815, abs=5e-4)


def plain_alpha(units: list[list[int]]) -> float:
    """Nominal alpha as one minus observed over expected disagreement of pairs, in plain loops."""
    units = [unit for unit in units if len(unit) > 1]
    everything = [label for unit in units for label in unit]
    n = len(everything)
    observed = sum(sum(a != b for a in unit for b in unit) / (len(unit) - 1) for unit in units) / n
    expected = sum(a != b for a in everything for b in everything) / (n * (n - 1))
    return 1 - observed / expected


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=2, max_size=12))
def test_alpha_is_its_plain_definition(units: list[list[int]]) -> None:
    found = krippendorff_alpha(units, [1, 2, 3])
    together = [label for unit in units if len(unit) > 1 for label in unit]
    if len(set(together)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(plain_alpha(units))


def test_kappa_of_known_tables() -> None:
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second, ["yes", "no"]) == pytest.approx(0.4)
    assert percent(first, second) == 0.7
    assert cohen_kappa([1, 2, 3], [1, 2, 3], [1, 2, 3], quadratic=True) == 1
    assert cohen_kappa([1, 1], [1, 1], [1, 2]) is None and cohen_kappa([], [], [1]) is None and percent([], []) is None


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=30))
def test_quadratic_kappa_is_its_plain_definition(pairs: list[tuple[int, int]]) -> None:
    first, second = [list(column) for column in zip(*pairs, strict=True)]
    expected = sum((a - b) ** 2 for a in first for b in second) / len(pairs) ** 2
    found = cohen_kappa(first, second, [1, 2, 3, 4, 5], quadratic=True)
    if expected == 0:
        assert found is None
    else:
        assert found == pytest.approx(1 - sum((a - b) ** 2 for a, b in pairs) / len(pairs) / expected)
