"""The rule for repetition against a direct reading of its definition, and on shapes whose answer is known."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urial.repeats import LENGTH, repeated_spans

IDS = st.lists(st.integers(0, 2), max_size=60)


def positions(spans: list[tuple[int, int]]) -> set[int]:
    return {place for start, end in spans for place in range(start, end)}


@given(IDS, st.integers(1, 9))
def test_a_repeat_lies_in_a_run_that_began_earlier(ids: list[int], length: int) -> None:
    """Straight from the definition, in quadratic time."""
    wanted = set()
    for start in range(len(ids) - length + 1):
        if any(ids[before : before + length] == ids[start : start + length] for before in range(start)):
            wanted |= set(range(start, start + length))
    spans = repeated_spans(ids, length)
    assert positions(spans) == wanted
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


@given(st.integers(1, 6), st.integers(LENGTH + 1, 40))
def test_a_loop_repeats_all_but_its_first_round(period: int, rounds: int) -> None:
    ids = list(range(period)) * rounds
    assert repeated_spans(ids) == [(period, len(ids))]


@given(st.lists(st.integers(), unique=True))
def test_an_answer_without_two_equal_tokens_has_none(ids: list[int]) -> None:
    assert repeated_spans(ids) == []


def test_seven_equal_tokens_are_not_enough() -> None:
    phrase = [1, 2, 3, 4, 5, 6, 7]
    assert repeated_spans([*phrase, 0, *phrase, 8]) == []
    assert repeated_spans([*phrase, 0, *phrase, 0]) == [(8, 16)]


def test_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        repeated_spans([1], 0)
