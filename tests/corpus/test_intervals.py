"""Intervals against what is known of them: coverage, symmetry, scipy-free closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from urial.corpus.intervals import bootstrap, difference_of_ratios, mean_of, ratio_of_sums, wilson


def test_the_interval_of_a_mean_is_near_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5, 2, size=(400, 1))
    low, high = bootstrap(values, mean_of)
    half = 1.96 * values.std(ddof=1) / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = bootstrap(generator.binomial(1, 0.3, size=(80, 1)).astype(float), mean_of, draws=400)
        hits += low <= 0.3 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_equal_questions_have_an_interval_of_no_width_and_one_question_none() -> None:
    assert bootstrap(np.full((9, 2), 3.0), ratio_of_sums) == (1.0, 1.0)
    assert bootstrap(np.ones((1, 1)), mean_of) is None


def test_a_paired_difference_is_narrower_than_its_parts_where_they_go_together() -> None:
    generator = np.random.default_rng(3)
    of = generator.integers(20, 60, size=(100, 1)).astype(float)
    shifted = np.round(of * generator.uniform(0.05, 0.4, size=(100, 1)))
    values = np.hstack([shifted, of, shifted + 1, of])
    low, high = bootstrap(values, difference_of_ratios)
    one_low, one_high = bootstrap(values[:, :2], ratio_of_sums)
    assert high - low < (one_high - one_low) / 5
    assert low <= difference_of_ratios(values) <= high


def test_draws_are_the_same_each_time_and_do_not_depend_on_their_chunks() -> None:
    values = np.random.default_rng(4).normal(size=(50, 1))
    assert bootstrap(values, mean_of) == bootstrap(values, mean_of)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0)],
)
def test_wilson_agrees_with_published_values(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-4)
    assert wilson(0, 0) is None
