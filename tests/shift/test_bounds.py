"""The bounds hold on any distributions, and are exact once the lists hold the whole vocabulary."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from urial.shift.bounds import ROUNDING, Bound, Known, lower_bound


def told(p: torch.Tensor, k: int, token_id: int) -> Known:
    """What a server tells of a distribution."""
    values, ids = p.topk(k)
    return Known.of(token_id, float(p[token_id]), tuple(zip(ids.tolist(), values.tolist(), strict=True)))


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    return float(torch.special.xlogy(p, p / q).sum())


def js(p: torch.Tensor, q: torch.Tensor) -> float:
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


@st.composite
def positions(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Two distributions, from nearly flat to nearly certain, alike or not, and a token."""
    size, seed = draw(st.integers(2, 400)), draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(size, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, generator=generator, dtype=torch.float64)
    sharpness, likeness = draw(st.sampled_from([0.1, 1, 4, 12, 30])), draw(st.sampled_from([0, 0.5, 0.9, 1]))
    p = (sharpness * base).softmax(-1)
    q = (sharpness * (likeness * base + (1 - likeness) * noise)).softmax(-1).clamp_min(1e-36)  # float32's reach
    return p, q, draw(st.integers(0, size - 1))


@settings(max_examples=300, deadline=None)
@given(positions(), st.integers(1, 400), st.integers(1, 400))
def test_a_bound_never_exceeds_what_it_bounds(
    position: tuple[torch.Tensor, torch.Tensor, int], k_aligned: int, k_base: int
) -> None:
    p, q, token_id = position
    found = lower_bound(told(p, min(k_aligned, len(p)), token_id), told(q, min(k_base, len(q)), token_id))
    assert 0 <= found.kl <= kl(p, q) + 1e-9
    assert 0 <= found.js <= min(js(p, q) + 1e-9, math.log(2))
    assert -1e-12 <= found.uncovered <= 1


@settings(max_examples=100, deadline=None)
@given(positions())
def test_with_the_whole_vocabulary_the_bounds_are_exact(position: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    p, q, token_id = position
    found = lower_bound(told(p, len(p), token_id), told(q, len(q), token_id))
    assert found.kl == pytest.approx(kl(p, q), abs=1e-9, rel=1e-9)
    assert found.js == pytest.approx(js(p, q), abs=1e-9)
    assert found.uncovered == pytest.approx(0, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(positions(), st.integers(2, 50))
def test_knowing_the_limit_of_the_others_only_helps(position: tuple[torch.Tensor, torch.Tensor, int], k: int) -> None:
    """Against the plain formula: shared tokens one by one, all others as one (log-sum inequality)."""
    p, q, token_id = position
    aligned, base = told(p, min(k, len(p)), token_id), told(q, min(k, len(q)), token_id)
    shared = aligned.probabilities.keys() & base.probabilities.keys()
    p_open = 1 - sum(aligned.probabilities[i] for i in shared)
    q_open = 1 - sum(base.probabilities[i] for i in shared)
    plain = sum(aligned.probabilities[i] * math.log(aligned.probabilities[i] / base.probabilities[i]) for i in shared)
    if p_open > 1e-9:
        plain += p_open * math.log(p_open / (max(q_open, 0.0) + ROUNDING))  # what the bound allows for
    assert lower_bound(aligned, base).kl >= plain - 1e-3


def test_a_token_that_the_base_leaves_out_counts() -> None:
    """The aligned model is sure of a token that the base's list does not hold: its limit gives the bound."""
    aligned = Known.of(5, 0.99, ((5, 0.99), (6, 0.005)))
    base = Known.of(1, 0.5, ((1, 0.5), (2, 0.01)))
    shared = lower_bound(aligned, Known({**base.probabilities}, 1.0))
    assert lower_bound(aligned, base).kl == pytest.approx(0.99 * math.log(0.99 / 0.01), rel=0.05)
    assert shared.kl < 1, "without the limit nothing would be known"


def test_equal_distributions_have_no_shift() -> None:
    p = torch.softmax(torch.arange(50, dtype=torch.float64), -1)
    assert lower_bound(told(p, 20, 3), told(p, 20, 3)) == Bound(
        0.0, pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-8)
    )
