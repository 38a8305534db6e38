"""A real vLLM server against the local engine on the same weights: same words, same ranks, bounds that hold.

Skipped, saying so, where there is no environment with vLLM. `pytest tests/engines/server/test_vllm.py -s` prints what
was measured.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from tests.support.vllm_server import HOW, KEY, VllmServer, common, interpreter
from urial.compare.request import Request, make_prompts
from urial.compare.run import compare, result
from urial.compare.scoring import Rows, Scoring
from urial.engines.base import Sampling, TopRow
from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.prompts import method
from urial.records import Comparison, ContextName, SidePenalties

pytestmark = [pytest.mark.server, pytest.mark.embedded, pytest.mark.timeout(1800)]

TOKENS = 24
BOTH: tuple[ContextName, ...] = ("zero_shot", "urial")
FULLY = 2  # queries with the long prompt: scoring behind it makes 262,144 logits for each of its 1,200 positions
QUERIES = (
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "How do I boil an egg?",
    "Name three planets.",
    "Why is the sky blue?",
    "Give me a recipe for pancakes.",
    "What should I pack for a hike?",
    "Explain photosynthesis to a child.",
    "Who wrote Hamlet?",
    "How can I sleep better?",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    python = interpreter()
    if python is None:
        pytest.skip(HOW)
    if KEY not in os.environ:
        os.environ[KEY] = "a-key-for-this-test"
    found = VllmServer(python, tmp_path_factory.mktemp("vllm") / "log.txt")
    try:
        print(f"\nvLLM was up after {found.start():.0f} s")
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="module")
def served(server: VllmServer) -> PairEngines:
    return server.engines(api_key_env=KEY)


@pytest.fixture(scope="module")
def local(server: VllmServer) -> PairEngines:
    return open_pair(server.pair, device="cpu", dtype="float32")


@dataclass(frozen=True, slots=True)
class Both:
    """One query, here and there; `rescored`: the local answer's tokens, scored by the server."""

    here: Comparison
    there: Comparison
    rescored: Rows

    def line(self) -> str:
        """How many tokens agree from the beginning, side by side."""
        agree = [
            f"{side} {common(getattr(self.there, side).token_ids, getattr(self.here, side).token_ids)} of "
            f"{len(getattr(self.here, side).token_ids)}"
            for side in ("base", "aligned")
        ]
        return f"{self.here.query} {', '.join(agree)} tokens agree"


@pytest.fixture(scope="module")
def found(served: PairEngines, local: PairEngines) -> list[Both]:
    each: list[Both] = []
    for query in QUERIES:
        each.append(run_both(served, local, query, BOTH if len(each) < FULLY else BOTH[:1]))
        print(each[-1].line(), flush=True)
    return each


def run_both(served: PairEngines, local: PairEngines, query: str, contexts: tuple[ContextName, ...]) -> Both:
    asked = Request(
        query=query,
        method=method("urial", 3) if contexts == BOTH else method("zero_shot"),
        contexts=contexts,
        max_new_tokens=TOKENS,
        penalties=SidePenalties(base=1.1, aligned=1.0),
    )
    here = result(compare(local, asked))
    there = result(compare(served, replace(asked, contexts=("zero_shot",))))
    prompts = make_prompts(served, asked)
    ids = here.aligned.token_ids
    with closing(Scoring(served, prompts.aligned_ids, prompts.context_ids, len(ids))) as scoring:
        return Both(here, there, scoring.ask(ids, served.aligned.answer_pieces(ids), None).rows())


def test_the_probe_finds_exact_ranks(served: PairEngines) -> None:
    for engine in (served.base, served.aligned):
        assert engine.capabilities.has_exact_rank and engine.capabilities.has_top
        assert engine.context_length == 4096 and engine.no_rows_reason == ""


@pytest.mark.parametrize("side", ["base", "aligned"])
def test_greedy_answers_agree_for_their_first_20_tokens(found: list[Both], side: str) -> None:
    for both in found:
        here, there = getattr(both.here, side), getattr(both.there, side)
        assert there.prompt_ids == here.prompt_ids
        assert there.token_ids[:20] == here.token_ids[:20], both.here.query
        if there.token_ids == here.token_ids:
            assert (there.text, there.stop_reason) == (here.text, here.stop_reason)


def test_ranks_agree_at_99_percent_of_positions_and_bounds_hold(found: list[Both]) -> None:
    rows = [
        (mine, theirs)
        for both in found
        for name, context in both.here.shift.items()
        for mine, theirs in zip(context.tokens, both.rescored[name], strict=True)
    ]
    assert len(rows) > 200
    assert all(theirs.is_scored for _, theirs in rows), "honest numbers were not believed"
    same = sum(mine.base_rank == theirs.base_rank for mine, theirs in rows) / len(rows)
    same_aligned = sum(mine.aligned_rank == theirs.aligned_rank for mine, theirs in rows) / len(rows)
    apart = max(abs(mine.base_probability - theirs.base_probability) for mine, theirs in rows)
    excess = max(theirs.kl - mine.kl for mine, theirs in rows)
    exact, bound = (sum(row.kl for row in column) for column in zip(*rows, strict=True))
    open_mass = sum(theirs.uncovered for _, theirs in rows) / len(rows)
    print(
        f"\n{len(rows)} positions: base ranks equal at {same:.2%}, aligned at {same_aligned:.2%}; base probability "
        f"at most {apart:.1e} apart; the bounds reach {bound / exact:.1%} of the exact KL, {open_mass:.1%} of the "
        "mass is open"
    )
    assert same >= 0.99 and same_aligned >= 0.99
    assert excess <= 1e-4, "a lower bound lies above the exact KL"
    assert max(theirs.js - mine.js for mine, theirs in rows) <= 1e-4


def test_the_record_says_that_it_is_not_exact(found: list[Both]) -> None:
    for both in found:
        for context in both.there.shift.values():
            assert not context.exact and all(row.uncovered is not None for row in context.tokens)
            assert [row.position for row in context.tokens] == list(range(len(both.there.aligned.token_ids)))


def test_a_salt_is_taken_and_an_answer_scored_again_has_the_same_ranks(served: PairEngines) -> None:
    """What a prefix cache still holds of the first time changes nothing."""
    ids = served.base.encode("The quick brown fox jumps over the lazy dog.")
    assert served.base.telling.salted and served.base.telling.top == 20
    first, second = (served.base.open_score(ids[:3], 20).extend(ids[3:]).rows() for _ in range(2))
    assert all(isinstance(row, TopRow) for row in first)
    assert [row.rank for row in first] == [row.rank for row in second]


def test_an_answer_that_stops_by_itself_is_whole_to_its_last_character(found: list[Both]) -> None:
    """Texts of tokens joined are the text, whichever way the answer ended."""
    for both in found:
        for context in both.there.shift.values():
            assert "".join(row.text for row in context.tokens) == both.there.aligned.text
    assert {both.there.aligned.stop_reason for both in found} == {"stop", "length"}


def test_closing_an_answer_ends_the_server_s_work(server: VllmServer, served: PairEngines) -> None:
    answer = served.base.generate(served.base.encode("Once upon a time"), Sampling(max_new_tokens=2000))
    next(answer)
    assert server.running() >= 1
    answer.close()
    give_up = time.monotonic() + 30
    while server.running() > 0:
        assert time.monotonic() < give_up, "the server still writes an answer that nobody reads"
        time.sleep(0.2)


def test_the_key_is_in_no_log(served: PairEngines, caplog: pytest.LogCaptureFixture) -> None:
    """Over a real connection, where httpx and httpcore write down all that they do."""
    caplog.set_level(logging.DEBUG)
    assert len(list(served.base.generate(served.base.encode("Once upon a time"), Sampling(max_new_tokens=2)))) == 2
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert os.environ[KEY] not in caplog.text


def test_a_wrong_key_is_one_sentence(server: VllmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRONG_KEY", "not-the-key")
    with pytest.raises(SettingsError, match=r"refuses the key \(401\); put a valid one into WRONG_KEY") as caught:
        server.engines(api_key_env="WRONG_KEY")
    assert "not-the-key" not in str(caught.value)
