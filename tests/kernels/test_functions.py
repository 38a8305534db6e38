"""exp and log of the compiled loops against float64, over all that they may be asked; the greatest number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from urial.kernels.functions import exp, greatest_of, log


@njit
def each(function, given, found):
    for k in range(given.shape[0]):
        found[k] = function(given[k])


def of(function, given: np.ndarray) -> np.ndarray:
    given = given.astype(np.float32)
    found = np.empty_like(given)
    each(function, given, found)
    return found


def test_exp_over_its_whole_range() -> None:
    given = np.linspace(-86.9, 88, 1_000_003).astype(np.float32)
    np.testing.assert_allclose(of(exp, given), np.exp(given.astype(np.float64)), rtol=2e-7)


def test_exp_near_nought() -> None:
    given = np.concatenate([np.geomspace(1e-12, 1, 10_001), -np.geomspace(1e-12, 1, 10_001), [0.0, -0.0]])
    found = of(exp, given)
    np.testing.assert_allclose(found, np.exp(given.astype(np.float32).astype(np.float64)), rtol=2e-7)
    assert found[-1] == found[-2] == 1


def test_exp_beyond_its_range() -> None:
    found = of(exp, np.array([-87.5, -1e30, -np.inf, 1e30, np.inf]))
    assert found[:3].tolist() == [0, 0, 0]
    assert found[3:] == pytest.approx(math.exp(88), rel=1e-6)


def test_log_of_all_normal_numbers() -> None:
    given = np.geomspace(1.2e-38, 3.4e38, 1_000_003).astype(np.float32)
    expected = np.log(given.astype(np.float64))
    np.testing.assert_allclose(of(log, given), expected, rtol=2e-7, atol=1e-8)


def test_log_near_one() -> None:
    given = (1 + np.concatenate([np.geomspace(1e-7, 0.5, 10_001), -np.geomspace(1e-7, 0.5, 10_001)])).astype(np.float32)
    np.testing.assert_allclose(of(log, given), np.log(given.astype(np.float64)), rtol=2e-7)
    assert of(log, np.array([1.0]))[0] == 0


def test_what_is_not_a_number_stays_so() -> None:
    assert np.isnan(of(exp, np.array([np.nan]))).all()


@pytest.mark.parametrize("count", [1, 7, 256, 1000])
def test_the_greatest_wherever_it_stands(count: int) -> None:
    given = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    for values in (given, -np.abs(given), np.sort(given), np.sort(given)[::-1].copy()):
        assert greatest_of(values) == values.max()


def test_the_greatest_of_infinite_numbers_and_of_none() -> None:
    inf = np.float32(np.inf)
    assert greatest_of(np.array([1, inf, -inf], np.float32)) == inf
    assert greatest_of(np.array([-inf, -3e38], np.float32)) == np.float32(-3e38)
    assert greatest_of(np.array([-0.0, -1e-45], np.float32)) == 0
    assert greatest_of(np.zeros(0, np.float32)) == greatest_of(np.array([-inf], np.float32)) == -inf
