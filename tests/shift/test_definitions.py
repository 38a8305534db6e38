"""The readable definitions, held against known values and against both backends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from urial.shift import numba_backend, torch_backend
from urial.shift.definitions import js, kl, mixture, probabilities, rank, switch_point

LOGITS = st.lists(st.floats(-20, 20, width=32), min_size=3, max_size=3)


def test_known_values() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.25, 0.25, 0.5]).double()
    assert kl(p, q) == pytest.approx(math.log(2)) and kl(q, p) == math.inf
    assert js(p, p) == 0 and js(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == pytest.approx(math.log(2))
    assert [rank(torch.tensor([3.0, 5.0, 3.0]), token) for token in range(3)] == [2, 1, 2]
    assert probabilities(torch.tensor([0.0, math.log(3)])).tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize("backend", [torch_backend, numba_backend])
@settings(deadline=None)  # the first one compiles
@given(one=LOGITS, other=LOGITS, token=st.integers(0, 2))
def test_backends_work_out_the_definitions(backend: object, one: list[float], other: list[float], token: int) -> None:
    aligned, base = torch.tensor([one]), torch.tensor([other])
    p, q = probabilities(aligned[0]), probabilities(base[0])
    ours, ((theirs, difference),) = backend.compare(aligned, [base], [token], 3)
    assert (ours.rank, theirs.rank) == ([rank(aligned[0], token)], [rank(base[0], token)])
    assert theirs.probability[0] == pytest.approx(float(q[token]), rel=1e-4, abs=1e-9)
    assert difference.kl[0] == pytest.approx(kl(p, q), rel=1e-4, abs=2e-6)
    assert difference.js[0] == pytest.approx(js(p, q), rel=1e-4, abs=2e-6)
    assert difference.switch_point == [switch_point(aligned[0], base[0], token)]


def test_a_switch_point_is_where_the_mixture_changes_its_mind() -> None:
    aligned, base = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.0, 3.0, 1.0])
    switch = switch_point(aligned, base, 0)
    assert switch == pytest.approx(0.75)  # 3 behind the second entry, 1 ahead of it
    assert int(mixture(aligned, base, switch - 1e-6).argmax()) == 1
    assert int(mixture(aligned, base, switch + 1e-6).argmax()) == 0
    assert mixture(aligned, base, 0).equal(probabilities(base)) and mixture(aligned, base, 1).equal(
        probabilities(aligned)
    )
    assert switch_point(aligned, base, 1) is None


def test_a_switch_point_of_rows_with_gaps_is_that_of_the_same_rows_without() -> None:
    """Compiled tasks see addresses alone."""
    aligned, base = torch.randn(2, 700, 3, generator=torch.Generator().manual_seed(0))[:, :, 1]
    token = int(aligned.argmax())
    exact = switch_point(aligned, base, token)
    assert exact is not None and exact > 0
    assert numba_backend.switch_point(aligned.numpy(), base.numpy(), token) == pytest.approx(exact)
