"""What a server tells of a position: honest numbers always give the row, impossible or absent ones never do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.server.test_engine import asked, fake, local_pair, mixed, mixed_with
from tests.support.fake_server import FakeServer, client_of, engine_of
from urial.compare.events import Failed
from urial.compare.run import compare, result
from urial.engines.base import NoRow, TopRow
from urial.engines.pair import PairEngines
from urial.engines.server.logprobs import IMPOSSIBLE, MISSING, named_lists, own_rows, read_row
from urial.records import Comparison, TokenShift, from_json, to_json

TOP = 20
KEYS = ["content", "id", "logprob", "rank", "tokens", "token_logprobs", "top_logprobs", "3"]
Entry = dict[str, Any]


def entry_of(logits: torch.Tensor, token_id: int, top: int = TOP, ranks: bool = True) -> Entry:
    """vLLM's dictionary for one position: the own token first, its rank counting equals against it, then the list."""
    told = logits.log_softmax(-1)
    own = {"logprob": float(told[token_id]), "rank": int((told >= told[token_id]).sum())}
    listed = {int(i): {"logprob": float(told[i]), "rank": n} for n, i in enumerate(told.topk(top).indices, 1)}
    found = {str(i): value for i, value in ({token_id: own} | listed).items()}
    return found if ranks else {i: {"logprob": value["logprob"]} for i, value in found.items()}


def random_logits(seed: int, size: int, scale: float, ties: bool) -> torch.Tensor:
    logits = scale * torch.randn(size, generator=torch.Generator().manual_seed(seed))
    return logits.to(torch.bfloat16).float() if ties else logits


@given(st.integers(0, 2**31), st.integers(TOP, 400), st.sampled_from([0.01, 1.0, 8.0, 60.0]), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_the_numbers_of_a_real_distribution_always_give_the_exact_row(
    seed: int, size: int, scale: float, ties: bool, data: st.DataObject
) -> None:
    """Against the definition in float64; in bfloat16 many logits are equal, which is no contradiction."""
    logits = random_logits(seed, size, scale, ties)
    token_id = data.draw(st.integers(0, size - 1))
    row = read_row(entry_of(logits, token_id), token_id, TOP)
    exact = logits.double().softmax(-1)
    assert isinstance(row, TopRow)
    strictly, at_least = int((logits > logits[token_id]).sum()), int((logits >= logits[token_id]).sum())
    assert row.rank == 1 + strictly if row.rank <= TOP else row.rank == at_least
    assert row.probability == pytest.approx(float(exact[token_id]), rel=1e-4, abs=1e-12)
    assert [p for _, p in row.top] == pytest.approx(exact.topk(TOP).values.tolist(), rel=1e-4, abs=1e-12)
    bare = read_row(entry_of(logits, token_id, ranks=False), token_id, TOP)
    assert isinstance(bare, TopRow) and bare.top == row.top and bare.rank == min(row.rank, TOP + 1)


def honest(token_id: int) -> Entry:
    """Token 0 is the most probable, 1 the next, and so on; 60 of them."""
    return entry_of(torch.linspace(6.0, -6.0, 60), token_id)


def with_own(token_id: int, **changes: Any) -> Entry:
    found = honest(token_id)
    return found | {str(token_id): found[str(token_id)] | changes}


IMPOSSIBLE_ENTRIES = {
    "nearly sure, and rank 40, before a rank 1 of -3": (
        {str(i): {"logprob": -3.0 - i, "rank": i + 1} for i in range(20)} | {"50": {"logprob": -0.1, "rank": 40}},
        50,
    ),
    "a positive logarithm": (with_own(3, logprob=2.0), 3),
    "a sum of 2.7": ({str(i): {"logprob": math.log(2.7 / 20), "rank": i + 1} for i in range(20)}, 3),
    "rank 1, and not the most probable": (with_own(3, rank=1), 3),
    "rank 1 beyond the list": (with_own(40, rank=1), 40),
    "a rank inside the list, for what the list would have to hold": (with_own(40, rank=12), 40),
    "rank 9, and fourth of the list": (with_own(3, rank=9), 3),
    "rank 0": (with_own(3, rank=0), 3),
    "a rank below 0": (with_own(3, rank=-2), 3),
    "a rank that is no whole number": (with_own(3, rank=4.5), 3),
    "a rank in words": (with_own(3, rank="4"), 3),
    "a rank that is true": (with_own(0, rank=True), 0),
    "two ranks changed about": (
        honest(3) | {"0": honest(3)["0"] | {"rank": 2}, "1": honest(3)["1"] | {"rank": 1}},
        3,
    ),
    "more tokens before it than there is probability": (with_own(25, rank=100_000), 25),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_ENTRIES)
def test_numbers_that_no_distribution_has_are_not_believed(name: str) -> None:
    entry, token_id = IMPOSSIBLE_ENTRIES[name]
    assert read_row(entry, token_id, TOP) == IMPOSSIBLE


@given(st.integers(0, 59), st.floats(0.1, 5.0), st.sampled_from([-1, 1]))
def test_a_value_of_an_earlier_request_in_the_list_is_found_where_it_breaks_the_order(
    token_id: int, by: float, way: int
) -> None:
    """A stale logarithm beside ranks of now: either the order still holds, or the row is not believed."""
    stale = with_own(token_id, logprob=honest(token_id)[str(token_id)]["logprob"] + way * by)
    row = read_row(stale, token_id, TOP)
    by_value = sorted(stale, key=lambda key: -stale[key]["logprob"])
    by_rank = sorted(stale, key=lambda key: stale[key]["rank"])
    assert (row == IMPOSSIBLE) or by_value == by_rank


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        [],
        "x",
        7,
        {str(i): None for i in range(20)},
        {str(i): {"logprob": -1.0 * i} for i in range(20) if i != 3},
        {str(i): {"logprob": -4.0 - i, "rank": i + 1} for i in range(19)},
        with_own(3, logprob=math.nan),
        with_own(3, logprob=-math.inf),
        with_own(3, logprob=math.inf),
        with_own(3, logprob=-9999.0),
        with_own(3, logprob=None),
        with_own(3, logprob="-1"),
        with_own(3, logprob=False),
        honest(3) | {"5": {"logprob": math.nan, "rank": 6}},
        {key: value for key, value in honest(40).items() if key != "7"},
    ],
)
def test_what_is_no_number_is_missing(entry: object) -> None:
    """The last one: with the own token beyond the list, 20 entries are a list of 19."""
    assert read_row(entry, 3 if not isinstance(entry, dict) or "40" not in entry else 40, TOP) == MISSING


def written(own: float, listed: dict[int, float], token_id: int = 3) -> dict[str, Any]:
    """The same position in vLLM's columns and in the shape of llama.cpp's server."""
    named = {f"token_id:{i}": value for i, value in listed.items()}
    top = [{"id": i, "logprob": value} for i, value in listed.items()]
    return {
        "vllm": {"tokens": [f"token_id:{token_id}"], "token_logprobs": [own], "top_logprobs": [named]},
        "llama.cpp": {"content": [{"id": token_id, "logprob": own, "top_logprobs": top}]},
    }


@pytest.mark.parametrize("shape", ["vllm", "llama.cpp"])
def test_a_token_s_own_value_must_be_that_of_its_list(shape: str) -> None:
    listed = {i: -2.0 - i for i in range(20)}
    (right,) = own_rows({"logprobs": written(-5.0, listed)[shape]}, [3], TOP)
    assert isinstance(right, TopRow) and right.rank == 4 and right.probability == pytest.approx(math.exp(-5))
    assert own_rows({"logprobs": written(-0.2, listed)[shape]}, [3], TOP) == [IMPOSSIBLE]
    assert own_rows({"logprobs": written(math.nan, listed)[shape]}, [3], TOP) == [MISSING]
    assert own_rows({"logprobs": written(-5.0, listed)[shape]}, [4], TOP) == [MISSING], "the row of another token"
    assert own_rows({"logprobs": written(-5.0, listed)[shape]}, [3, 4], TOP) == [MISSING] * 2
    for nothing in ({}, {"logprobs": None}, {"logprobs": {}}, {"logprobs": {"content": None}}, {"logprobs": 3}):
        assert own_rows(nothing, [3], TOP) == [MISSING]


def test_one_list_that_is_not_readable_leaves_the_others() -> None:
    both = written(-5.0, {i: -2.0 - i for i in range(20)})["vllm"]
    both = {key: [*values, *values] for key, values in both.items()}
    both["top_logprobs"][0] = None
    assert named_lists(both)[0] is None
    assert [row == MISSING for row in own_rows({"logprobs": both}, [3, 3], TOP)] == [True, False]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["3", "logprob"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner),
    max_leaves=20,
)


@given(JSON, st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_comes_there_is_a_row_or_a_reason(value: Any, data: st.DataObject) -> None:
    """Any JSON in place of an entry, of a list, or of one value in an honest entry."""
    spoilt = honest(3) | {data.draw(st.sampled_from(["3", "5", "x"])): value}
    changed = with_own(3, **{data.draw(st.sampled_from(["logprob", "rank"])): value})
    for entry in (value, spoilt, changed):
        assert isinstance(read_row(entry, 3, TOP), TopRow | NoRow)
    for choice in ({"logprobs": value}, {"logprobs": {"content": [value]}}):
        assert all(isinstance(row, NoRow) for row in own_rows(choice, [3], TOP))
    for key in ("tokens", "token_logprobs", "top_logprobs"):
        columns = written(-5.0, {i: -2.0 - i for i in range(20)})["vllm"] | {key: [value]}
        assert all(isinstance(row, TopRow | NoRow) for row in own_rows({"logprobs": columns}, [3], TOP))


# Through a whole comparison

SPOILS: dict[str, Callable[[Entry, str], Any]] = {
    "null": lambda entry, own: None,
    "absent id": lambda entry, own: {key: value for key, value in entry.items() if key != own},
    "NaN": lambda entry, own: entry | {own: entry[own] | {"logprob": math.nan}},
    "-inf": lambda entry, own: entry | {own: entry[own] | {"logprob": -math.inf}},
    "-9999": lambda entry, own: entry | {own: entry[own] | {"logprob": -9999.0}},
    "positive": lambda entry, own: entry | {own: entry[own] | {"logprob": 2.0}},
    "rank 0": lambda entry, own: entry | {own: entry[own] | {"rank": 0}},
}


def spoiled(server: FakeServer, from_end: tuple[int, ...], spoil: Callable[[Entry, str], Any]) -> FakeServer:
    """The server, which now spoils the rows of these tokens, counted from a prompt's end; never those of the probe."""
    tell = server.prompt_logprobs

    def told(body: dict[str, Any]) -> list[Any]:
        entries = tell(body)
        for place in from_end if len(entries) > 3 else ():
            entries[-place] = spoil(entries[-place], str(body["prompt"][-place]))
        return entries

    server.prompt_logprobs = told
    return server


def pair(base: FakeServer, aligned: FakeServer) -> PairEngines:
    sides = {"base": engine_of(client_of(base.transport()), "base")}
    sides["aligned"] = engine_of(client_of(aligned.transport()), "aligned")
    return PairEngines(info=local_pair().info, vocabulary=local_pair().vocabulary, **sides)


@cache
def untouched() -> Comparison:
    return result(compare(pair(fake(), fake()), asked()))


@pytest.mark.parametrize("side", ["base", "aligned"])
@pytest.mark.parametrize("how", SPOILS)
def test_a_broken_row_takes_no_other_with_it(how: str, side: str) -> None:
    before = untouched()
    servers = {"base": fake(), "aligned": fake()}
    spoiled(servers[side], (2, 4), SPOILS[how])
    events = list(compare(pair(**servers), asked()))
    assert not [event for event in events if isinstance(event, Failed)]
    found = events[-1].comparison
    count = len(before.aligned.token_ids)
    reason = "impossible_numbers" if how in ("positive", "rank 0") else "missing"
    for name, context in found.shift.items():
        for mine, theirs in zip(before.shift[name].tokens, context.tokens, strict=True):
            if theirs.position not in (count - 2, count - 4):
                assert theirs == mine
                continue
            assert (theirs.shift_class, theirs.reason, theirs.base_rank, theirs.kl) == ("unscored", reason, None, None)
            assert (theirs.id, theirs.text) == (mine.id, mine.text)
            assert theirs.aligned_rank == (mine.aligned_rank if side == "base" else None)
        assert context.summary.unscored == 2 and context.summary.tokens == before.shift[name].summary.tokens - 2
    assert from_json(to_json(found)) == found and "NaN" not in to_json(found) and "Infinity" not in to_json(found)
    json.loads(to_json(found), parse_constant=pytest.fail)


@pytest.mark.parametrize("tells", [("ids", "own"), ("content",)], ids=["vllm", "llama.cpp"])
def test_a_broken_row_of_what_a_server_writes_takes_no_other_with_it(tells: tuple[str, ...]) -> None:
    server = fake(told=tells)
    engines, clean = mixed_with(server), result(compare(mixed(tells), asked()))
    tell, seen = server.told_of, []

    def told_of(body: dict[str, Any], token_id: int, row: torch.Tensor) -> dict[str, Any]:
        seen.append(token_id)
        wrong = row + 3.0 if len(seen) == 3 else row  # e cubed too probable
        return tell(body, token_id, torch.full_like(row, math.nan) if len(seen) == 4 else wrong)

    server.told_of = told_of
    events = list(compare(engines, asked()))
    assert not [event for event in events if isinstance(event, Failed)]
    rows = events[-1].comparison.shift["urial"].tokens
    assert [row.reason for row in rows[:6]] == [None, None, "impossible_numbers", "missing", None, None]
    kept = [row for row in rows if row.is_scored]
    assert kept == [row for row in clean.shift["urial"].tokens if row.position not in (2, 3)]
    assert all(isinstance(row, TokenShift) for row in kept)
