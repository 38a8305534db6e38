"""The statistics against a float64 reference written another way, and their corners."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from urial.shift import numba_backend as in_loops
from urial.shift import statistics as shift
from urial.shift import torch_backend as in_torch
from urial.shift.backend import Arithmetic
from urial.shift.statistics import BLOCK_ENTRIES, ShiftStatistics, statistics


@pytest.fixture(params=[in_loops.compare, in_torch.compare], ids=["loops", "torch"], scope="module", autouse=True)
def arithmetic(request: pytest.FixtureRequest) -> Iterator[Arithmetic]:
    """Every test here holds for both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shift, "arithmetic_for", lambda device: request.param)
        yield request.param


class Rows:
    """Logits that are simply there; counts how often each row was asked for."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float32))
        self.asked = [0] * len(logits)

    def __len__(self) -> int:
        return len(self.logits)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        for row in range(start, stop):
            self.asked[row] += 1
        return self.logits[start:stop]


def compare(aligned: np.ndarray, base: np.ndarray, ids: list[int], **options) -> ShiftStatistics:
    options = {"vocabulary": aligned.shape[1], **options}
    return statistics(Rows(aligned), {"zero_shot": Rows(base)}, ids, **options)["zero_shot"]


def log_softmax64(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def divergence64(log_p: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """KL by its definition; 0 log 0 = 0."""
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        return np.where(p > 0, p * (log_p - log_q), 0).sum(-1)


def reference(aligned: np.ndarray, base: np.ndarray, ids: list[int], top: int = 10) -> dict[str, list]:
    """Everything in float64, by sorting and by definition."""
    log_p, log_q = log_softmax64(aligned), log_softmax64(base)
    with np.errstate(divide="ignore"):
        log_m = np.log((np.exp(log_p) + np.exp(log_q)) / 2)
    rows = np.arange(len(ids))
    return {
        "base_rank": [1 + int((base[t] > base[t, i]).sum()) for t, i in enumerate(ids)],
        "aligned_rank": [1 + int((aligned[t] > aligned[t, i]).sum()) for t, i in enumerate(ids)],
        "base_probability": np.exp(log_q[rows, ids]).tolist(),
        "aligned_probability": np.exp(log_p[rows, ids]).tolist(),
        "kl": divergence64(log_p, log_q).tolist(),
        "js": ((divergence64(log_p, log_m) + divergence64(log_q, log_m)) / 2).tolist(),
        "switch_point": [switch64(aligned[t], base[t], i) for t, i in enumerate(ids)],
        "base_top": tops64(base, log_q, top),
        "aligned_top": tops64(aligned, log_p, top),
    }


def switch64(aligned: np.ndarray, base: np.ndarray, token: int) -> float | None:
    """By its definition: the least lambda from which on no entry of the mixture is above the token, by bisection.

    From differences to the token's own logits, which are exact; normalisation changes no order.
    """
    with np.errstate(invalid="ignore"):
        ahead, behind = (row.astype(np.float64) - float(row[token]) for row in (aligned, base))

    def is_first(share: float) -> bool:
        with np.errstate(invalid="ignore"):
            mixed = (ahead if share else behind) if share in (0, 1) else (1 - share) * behind + share * ahead
        return not (mixed > 0).any()

    if not is_first(1):
        return None
    low, high = 0.0, 1.0
    while not is_first(low) and high - low > 1e-13:
        middle = (low + high) / 2
        low, high = (low, middle) if is_first(middle) else (middle, high)
    return low if is_first(low) else high


def tops64(logits: np.ndarray, log_p: np.ndarray, top: int) -> list[list[tuple[int, float]]]:
    order = np.argsort(-logits.astype(np.float64), axis=-1, kind="stable")[:, :top]
    return [[(int(i), float(np.exp(log_p[t, i]))) for i in row] for t, row in enumerate(order)]


def assert_matches(found: ShiftStatistics, expected: dict[str, list], kl_tolerance: float = 1e-5) -> None:
    assert found.base_rank == expected["base_rank"]
    assert found.aligned_rank == expected["aligned_rank"]
    for name in ("base_probability", "aligned_probability"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=3e-5, atol=1e-9)
    np.testing.assert_allclose(found.kl, expected["kl"], rtol=2e-6, atol=kl_tolerance)
    np.testing.assert_allclose(found.js, expected["js"], atol=2e-6)
    defined = [switch is not None for switch in expected["switch_point"]]
    assert [switch is not None for switch in found.switch_point] == defined
    for switch, right in zip(found.switch_point, expected["switch_point"], strict=True):
        assert switch == (right if right in (None, 0) else pytest.approx(right, abs=1e-9))
    for name in ("base_top", "aligned_top"):
        ours, theirs = getattr(found, name), expected[name]
        assert [[i for i, _ in row] for row in ours] == [[i for i, _ in row] for row in theirs]
        np.testing.assert_allclose(
            [[p for _, p in r] for r in ours], [[p for _, p in r] for r in theirs], rtol=3e-5, atol=1e-9
        )


def random_pair(rows: int, width: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    aligned = rng.normal(0, spread, (rows, width)).astype(np.float32)
    base = (aligned + rng.normal(0, spread / 3, (rows, width))).astype(np.float32)
    ids = [int(i) for i in rng.integers(0, width, rows)]
    ids[::2] = [int(i) for i in aligned.argmax(-1)[::2]]
    return aligned, base, ids


@pytest.mark.parametrize(
    ("rows", "width", "spread"),
    [(1, 2, 1.0), (5, 11, 0.1), (7, 10, 3.0), (33, 997, 5.0), (70, 4096, 8.0), (6, 50_257, 4.0), (3, 262_144, 6.0)],
)
def test_agrees_with_float64(rows: int, width: int, spread: float) -> None:
    aligned, base, ids = random_pair(rows, width, spread)
    assert_matches(compare(aligned, base, ids), reference(aligned, base, ids))


def test_small_terms_of_a_wide_vocabulary_are_not_lost() -> None:
    """One token near certainty, 262,143 tokens that share a quarter of a percent: a running sum would drop them."""
    aligned = np.full((1, 262_144), -18.5, np.float32)
    base = np.full((1, 262_144), -14.0, np.float32)
    aligned[0, 5] = base[0, 5] = 0
    assert_matches(compare(aligned, base, [5]), reference(aligned, base, [5]), kl_tolerance=1e-6)


def test_extreme_logits() -> None:
    aligned, base, ids = random_pair(8, 300, 1.0)
    aligned *= np.float32(3e4)
    base[:4] *= np.float32(100)
    base[4:] -= np.float32(1e4)
    found = compare(aligned, base, ids)
    assert_matches(found, reference(aligned, base, ids), kl_tolerance=1e-3)
    assert all(math.isfinite(value) for value in found.kl + found.js)


@pytest.mark.parametrize("width", [30, 1000, 20_000])
@pytest.mark.parametrize("top", [1, 10, 30])
def test_ties_go_to_the_lower_id_and_do_not_raise_a_rank(width: int, top: int) -> None:
    rng = np.random.default_rng(3)
    aligned = rng.integers(-3, 3, (6, width)).astype(np.float32)
    base = np.zeros((6, width), np.float32)
    ids = [0, 5, width - 1, 7, 11, 20]
    found = compare(aligned, base, ids, top=top)
    assert_matches(found, reference(aligned, base, ids, top))
    assert found.base_rank == [1] * 6
    assert [[i for i, _ in row] for row in found.base_top] == [list(range(min(top, width)))] * 6


def test_no_positions_give_empty_lists() -> None:
    empty = np.zeros((0, 12), np.float32)
    found = compare(empty, empty, [])
    assert all(not getattr(found, field.name) for field in fields(ShiftStatistics))


def test_a_list_longer_than_the_vocabulary_is_the_vocabulary() -> None:
    aligned, base, ids = random_pair(2, 4, 1.0)
    found = compare(aligned, base, ids, top=10)
    assert [len(row) for row in found.base_top] == [4, 4]
    assert sum(p for _, p in found.base_top[0]) == pytest.approx(1, abs=1e-6)


def test_padded_columns_do_not_count() -> None:
    aligned, base, ids = random_pair(5, 500, 4.0)
    padding = np.full((5, 12), 50, np.float32)  # would take all the probability, were it seen
    padding[0] = np.nan
    padded = compare(np.hstack([aligned, padding]), np.hstack([base, padding, padding]), ids, vocabulary=500)
    assert padded == compare(aligned, base, ids)


LONG = 31, 2**15, 4.0  # more than one block of rows


@pytest.fixture(scope="module")
def long_reference() -> dict[str, list]:
    return reference(*random_pair(*LONG))


@pytest.mark.parametrize("rows_per_chunk", [1, 2, 7, 31, 1000, None])
def test_the_size_of_chunks_changes_nothing(rows_per_chunk: int | None, long_reference: dict[str, list]) -> None:
    aligned, base, ids = random_pair(*LONG)
    assert len(ids) > BLOCK_ENTRIES // 2**15
    found = compare(aligned, base, ids, rows_per_chunk=rows_per_chunk)
    whole = compare(aligned, base, ids, rows_per_chunk=31)
    assert_matches(found, long_reference)
    assert found.base_rank == whole.base_rank
    np.testing.assert_allclose(found.kl, whole.kl, atol=1e-6)


def test_contexts_are_apart_and_the_aligned_model_is_asked_once() -> None:
    aligned, base, ids = random_pair(9, 400, 3.0)
    other = base[::-1].copy()
    source = Rows(aligned)
    found = statistics(source, {"zero_shot": Rows(base), "urial": Rows(other)}, ids, vocabulary=400, rows_per_chunk=4)
    assert source.asked == [1] * 9
    assert_matches(found["zero_shot"], reference(aligned, base, ids))
    assert_matches(found["urial"], reference(aligned, other, ids))
    assert found["zero_shot"].aligned_top == found["urial"].aligned_top
    assert found["zero_shot"].aligned_top[0] is not found["urial"].aligned_top[0]


def test_logits_are_left_as_they_were() -> None:
    aligned, base, ids = random_pair(4, 50, 3.0)
    sources = Rows(aligned), Rows(base)
    statistics(sources[0], {"zero_shot": sources[1]}, ids, vocabulary=50)
    np.testing.assert_array_equal(sources[0].logits.numpy(), aligned)
    np.testing.assert_array_equal(sources[1].logits.numpy(), base)


def test_both_ways_agree_to_the_last_rank_and_list() -> None:
    aligned, base, ids = random_pair(6, 262_144, 4.0)
    one, two = (
        statistics(Rows(aligned), {"": Rows(base)}, ids, vocabulary=262_144, arithmetic=way)[""]
        for way in (in_loops.compare, in_torch.compare)
    )
    assert (one.base_rank, one.aligned_rank) == (two.base_rank, two.aligned_rank)
    assert [[i for i, _ in row] for row in one.base_top] == [[i for i, _ in row] for row in two.base_top]
    np.testing.assert_allclose(one.kl, two.kl, atol=3e-6)
    np.testing.assert_allclose(one.js, two.js, atol=1e-6)


def test_loops_find_identical_rows_apart_by_exactly_nothing() -> None:
    aligned, _, ids = random_pair(6, 60_000, 5.0)
    found = statistics(Rows(aligned), {"": Rows(aligned.copy())}, ids, vocabulary=60_000, arithmetic=in_loops.compare)[
        ""
    ]
    assert (set(found.kl), set(found.js)) == ({0.0}, {0.0})


def test_a_model_against_itself_is_unshifted() -> None:
    aligned, _, _ = random_pair(12, 60_000, 5.0)
    ids = [int(i) for i in aligned.argmax(-1)]
    found = compare(aligned, aligned.copy(), ids)
    assert found.base_rank == found.aligned_rank == [1] * 12
    assert max(found.kl) <= 1e-6
    assert max(found.js) <= 1e-6
    assert found.base_top == found.aligned_top


def test_tokens_masked_in_both_models_are_left_out() -> None:
    aligned, base, ids = random_pair(6, 800, 3.0)
    ids = [min(i, 499) for i in ids]
    aligned[:, 500:] = base[:, 500:] = -np.inf
    found = compare(aligned, base, ids)
    without = compare(aligned[:, :500], base[:, :500], ids)
    assert found.base_rank == without.base_rank
    np.testing.assert_allclose(found.kl, without.kl, atol=1e-6)
    np.testing.assert_allclose(found.js, without.js, atol=1e-6)


def test_a_token_masked_in_the_aligned_model_alone_adds_nothing_to_kl() -> None:
    aligned, base, _ = random_pair(3, 100, 3.0)
    aligned[:, 40:] = -np.inf
    ids = [0, 1, 99]  # 99 is forced although it is masked: probability 0, rank behind all that are not
    found = compare(aligned, base, ids)
    assert_matches(found, reference(aligned, base, ids))
    assert found.aligned_probability[2] == 0
    assert found.aligned_rank[2] == 41


def test_disjoint_models_have_the_largest_js() -> None:
    aligned, base = np.full((1, 64), -200, np.float32), np.full((1, 64), -200, np.float32)
    aligned[0, 1] = base[0, 2] = 0
    found = compare(aligned, base, [1])
    assert found.js == [pytest.approx(math.log(2), abs=1e-6)]
    assert found.js[0] <= math.log(2)
    assert found.kl == [pytest.approx(200, rel=1e-6)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["aligned", "base"])
def test_broken_logits_are_refused_with_their_position(value: float, side: str) -> None:
    aligned, base, ids = random_pair(40, 30_000, 2.0)
    (aligned if side == "aligned" else base)[37, 123] = value
    with pytest.raises(ValueError, match=rf"^position 37: the {side} .*NaN, infinite") as caught:
        compare(aligned, base, ids, rows_per_chunk=16)
    assert "\n" not in str(caught.value)


def test_a_row_that_is_masked_altogether_is_refused() -> None:
    aligned, base, ids = random_pair(3, 20, 2.0)
    base[1] = -np.inf
    with pytest.raises(ValueError, match=r"position 1: the base in context 'zero_shot' .*all masked"):
        compare(aligned, base, ids)


def test_an_infinite_divergence_is_refused_with_its_position() -> None:
    aligned, base, ids = random_pair(3, 20, 2.0)
    base[2, 4] = -np.inf
    with pytest.raises(ValueError, match=r"position 2: the base in context 'zero_shot' rules out a token"):
        compare(aligned, base, ids)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([1, 2], {}, "the aligned model has 3 rows for 2 answer tokens"),
        ([1, 2, 20], {}, r"position 2: token id 20 is not in 0\.\.19"),
        ([1, -1, 2], {}, r"position 1: token id -1"),
        ([1, 2, 3], {"top": 0}, "top is 0"),
        ([1, 2, 3], {"vocabulary": 21}, r"logits of shape \[3, 20\] where \[3, 21 or more\] is needed"),
    ],
)
def test_what_does_not_fit_together_is_refused(ids: list[int], options: dict, message: str) -> None:
    aligned, base, _ = random_pair(3, 20, 2.0)
    with pytest.raises(ValueError, match=message):
        compare(aligned, base, ids, **options)


logits = st.integers(1, 60).flatmap(
    lambda width: st.tuples(*[arrays.arrays(np.float32, (4, width), elements=st.floats(-40, 40, width=16))] * 2)
)


@settings(deadline=None, max_examples=80)
@given(logits=logits, data=st.data())
def test_properties_of_any_two_models(logits: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    """Rank 1 exactly where nothing is above; bounds; symmetry of JS; agreement with float64."""
    aligned, base = logits
    width = aligned.shape[1]
    ids = data.draw(st.lists(st.integers(0, width - 1), min_size=4, max_size=4))
    found, turned = compare(aligned, base, ids), compare(base, aligned, ids)
    assert_matches(found, reference(aligned, base, ids), kl_tolerance=2e-5)
    for t, token in enumerate(ids):
        assert (found.base_rank[t] == 1) == (base[t, token] == base[t].max())
        if found.base_rank[t] == 1:  # the other way round rounding may make two probabilities equal
            assert found.base_probability[t] == found.base_top[t][0][1]
        assert 1 <= found.base_rank[t] <= width
        assert found.kl[t] >= 0
        assert 0 <= found.js[t] <= math.log(2)
        assert sum(p for _, p in found.base_top[t]) <= 1 + 1e-6
    np.testing.assert_allclose(found.js, turned.js, atol=2e-6)
    assert (found.base_rank, found.aligned_rank) == (turned.aligned_rank, turned.base_rank)


@pytest.mark.parametrize("seed", range(12))
def test_top_lists_of_a_wide_vocabulary_with_many_ties(seed: int) -> None:
    """Wide enough for the search by groups; few distinct values, so that lists end amid equals everywhere."""
    rng = np.random.default_rng(seed)
    top = int(rng.integers(1, 12))
    logits = np.round(rng.normal(0, 1 + seed / 4, (4, 20_011))).astype(np.float32)
    found = compare(logits, logits, [0, 1, 2, 3], top=top)
    assert [[i for i, _ in row] for row in found.base_top] == [
        [i for i, _ in row] for row in tops64(logits, log_softmax64(logits), top)
    ]


def test_switch_points_of_500_positions_by_trying_every_lambda() -> None:
    """At a lambda just below it another token is first, from it on never again; not the bisection of `reference`."""
    aligned, base, _ = random_pair(500, 700, 4.0, seed=5)
    ids = [int(i) for i in aligned.argmax(-1)]
    found = compare(aligned, base, ids).switch_point
    log_p, log_q = log_softmax64(aligned), log_softmax64(base)
    shares = np.linspace(0, 1, 1001)
    for t, (token, switch) in enumerate(zip(ids, found, strict=True)):
        mixed = np.outer(1 - shares, log_q[t]) + np.outer(shares, log_p[t])  # [lambda, V]
        is_first = mixed.argmax(-1) == token
        assert not is_first[shares < switch - 1e-9].any()
        assert is_first[shares > switch + 1e-9].all()
    assert 0.3 < np.mean([switch > 0 for switch in found]) < 1


def test_switch_points_of_a_model_against_itself_are_exactly_0() -> None:
    aligned, _, _ = random_pair(20, 5_000, 5.0)
    assert set(compare(aligned, aligned.copy(), [int(i) for i in aligned.argmax(-1)]).switch_point) == {0.0}


def test_a_switch_point_is_defined_for_the_aligned_models_first_choice_alone() -> None:
    aligned = np.array([[3, 2, 1], [3, 3, 1], [3, 2, 1]], np.float32)
    base = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], np.float32)
    # 1 / (1 + 1); a rival that is as probable for the aligned model is overtaken at 1 alone; not the first choice
    assert compare(aligned, base, [0, 0, 1]).switch_point == [0.5, 1.0, None]
