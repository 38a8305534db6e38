"""A server's engine against a real tiny model behind a fake transport: same answers, same ranks, bounds that hold."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import cache

import httpx
import pytest

from tests.compare.test_run import request
from tests.support import tiny
from tests.support.fake_server import DONE, FakeServer, client_of, engine_of, event, streamed
from urial.compare.events import Done, Failed, SideDone, Waiting
from urial.compare.ladder import ladder
from urial.compare.request import Control, Request
from urial.compare.run import compare, result, score
from urial.engines.base import UNKNOWN_ID, Sampling
from urial.engines.pair import PairEngines
from urial.engines.server.probe import UNLIMITED
from urial.errors import EngineError, MismatchError, SettingsError
from urial.prompts import method
from urial.records import Comparison, SidePenalties
from urial.servers.client import Limits

ALL_IDS = [2, 40, 50, 60]


def asked(**changes: object) -> Request:
    """A short prompt: what is tested here does not depend on its length."""
    return request(method=method("zero_shot"), **changes)


@cache
def local_pair() -> PairEngines:
    """What the servers run, in this process; for those who only ask it."""
    return tiny.pair()


@cache
def exact_answer() -> Comparison:
    """The plain question answered in this process: what a server's answer is held against."""
    return result(compare(local_pair(), asked()))


def fake(**told: object) -> FakeServer:
    return FakeServer({"base": local_pair().base, "aligned": local_pair().aligned}, **told)


def served(server: FakeServer, limits: Limits | None = None) -> PairEngines:
    client = client_of(server.transport(), limits=limits)
    local = local_pair()
    base, aligned = engine_of(client, "base"), engine_of(client, "aligned")
    return PairEngines(info=local.info, base=base, aligned=aligned, vocabulary=local.vocabulary)


def test_a_served_pair_gives_the_answers_and_ranks_of_the_same_pair_in_this_process() -> None:
    here, there = result(compare(local_pair(), request())), result(compare(served(fake()), request()))
    for side in ("base", "aligned"):
        assert getattr(there, side).token_ids == getattr(here, side).token_ids
        assert getattr(there, side).text == getattr(here, side).text
        assert getattr(there, side).stop_reason == getattr(here, side).stop_reason
    for name, context in here.shift.items():
        bounded = there.shift[name]
        assert context.exact and not bounded.exact
        for mine, theirs in zip(context.tokens, bounded.tokens, strict=True):
            assert (theirs.base_rank, theirs.aligned_rank) == (mine.base_rank, mine.aligned_rank)
            assert theirs.base_probability == pytest.approx(mine.base_probability, rel=1e-4)
            assert [i for i, _, _ in theirs.base_top] == [i for i, _, _ in mine.base_top]
            assert theirs.kl <= mine.kl + 1e-5 and theirs.js <= mine.js + 1e-5
            assert 0 < theirs.uncovered < 1


@pytest.mark.parametrize("side", ["base", "aligned"])
def test_one_side_here_and_one_there(side: str) -> None:
    here, there = local_pair(), served(fake())
    sides = {"base": here.base, "aligned": here.aligned, side: getattr(there, side)}
    mixed = PairEngines(info=here.info, vocabulary=here.vocabulary, **sides)
    found, exact = result(compare(mixed, asked())), exact_answer()
    for name, context in exact.shift.items():
        assert not found.shift[name].exact
        assert [r.base_rank for r in found.shift[name].tokens] == [r.base_rank for r in context.tokens]
        for mine, theirs in zip(context.tokens, found.shift[name].tokens, strict=True):
            assert theirs.kl <= mine.kl + 1e-5


def test_scoring_asks_seldom_however_long_the_answer_is() -> None:
    """Each call reads the whole context again: 2 contexts and the aligned model, about log2(T / 64) + 1 times."""
    server = fake()
    engines = served(server)
    server.bodies.clear()
    long = asked(max_new_tokens=150)
    found = result(compare(engines, long))
    calls = [body for body in server.bodies if "prompt_logprobs" in body]
    tokens = len(found.aligned.token_ids)
    assert tokens > 16
    assert len(calls) <= 3 * (1 + max(0, (tokens // 64).bit_length()))
    assert [row.position for row in found.shift["urial"].tokens] == list(range(tokens))


def test_a_given_answer_is_scored_in_one_go() -> None:
    server = fake()
    engines = served(server)
    server.bodies.clear()
    there = result(score(engines, asked(), "the answer is here " * 10))
    here = result(score(local_pair(), asked(), "the answer is here " * 10))
    assert len(server.bodies) == 3
    ranks = [[row.base_rank for row in found.shift["zero_shot"].tokens] for found in (here, there)]
    assert ranks[0] == ranks[1]


def test_a_ladder_of_prompts_is_scored_by_servers_that_score() -> None:
    """The rungs that fit the tiny models' 2,048 tokens, with the ranks that the same models give in this process."""
    there, here = (list(ladder(engines, exact_answer())) for engines in (served(fake()), local_pair()))
    assert [rung.tokens for rung in there[0].rungs] == [rung.tokens for rung in here[0].rungs]
    assert there[-1].records.keys() == here[-1].records.keys()
    for index, record in there[-1].records.items():
        found, expected = (next(iter(each.shift.values())) for each in (record, here[-1].records[index]))
        assert [row.base_rank for row in found.tokens] == [row.base_rank for row in expected.tokens]
        assert not found.exact
    with pytest.raises(SettingsError, match="No shift can be shown"):
        next(ladder(served(fake(told=("ids",))), exact_answer()))


def test_settings_are_all_sent_because_servers_have_defaults_of_their_own() -> None:
    server = fake()
    engine = engine_of(client_of(server.transport()))
    list(engine.generate(ALL_IDS, Sampling(max_new_tokens=3)))
    body = server.bodies[-1]
    assert body["prompt"] == ALL_IDS and body["stop_token_ids"] == [1, 3] and body["return_token_ids"] is True
    named = {key: body[key] for key in ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")}
    assert named == {"temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    with pytest.raises(SettingsError, match="temperature"):
        engine.generate(ALL_IDS, Sampling(temperature=-1))
    with pytest.raises(SettingsError, match="reads at most 2,048"):
        engine.generate([5] * 2040, Sampling(max_new_tokens=20))


# What a server cannot do


@pytest.mark.parametrize(("told", "lacking"), [(("ids",), "log-probabilities"), (("rows", "ranks"), "token ids")])
def test_a_server_that_tells_too_little_still_answers_side_by_side(told: tuple[str, ...], lacking: str) -> None:
    here = exact_answer()
    events = list(compare(served(fake(told=told)), asked()))
    failures = [e for e in events if isinstance(e, Failed)]
    assert [f.name for f in failures] == [None] and lacking in failures[0].message
    assert "No shift can be shown" in failures[0].message
    done = events[-1]
    assert isinstance(done, Done) and done.comparison.shift == {}
    assert done.comparison.aligned.text == here.aligned.text and done.comparison.base.text == here.base.text
    assert done.comparison.aligned.stop_reason == here.aligned.stop_reason
    if "ids" not in told:
        assert done.comparison.aligned.token_ids == []
    with pytest.raises(SettingsError, match="No shift can be shown"):
        next(score(served(fake(told=told)), asked(), "an answer"))


def test_lists_without_ranks_give_ranks_as_far_as_the_list_reaches() -> None:
    engines = served(fake(told=("ids", "rows")))
    assert engines.base.capabilities.has_top and not engines.base.capabilities.has_exact_rank
    found, exact = result(compare(engines, asked())), exact_answer()
    for mine, theirs in zip(exact.shift["urial"].tokens, found.shift["urial"].tokens, strict=True):
        assert theirs.base_rank == min(mine.base_rank, 21) and theirs.shift_class == mine.shift_class


def test_text_without_ids_ends_as_it_should() -> None:
    server = fake(told=())
    engine = engine_of(client_of(server.transport()))
    server.overrides.append(lambda r: streamed([event(text="Hel"), event(text="lo", finish_reason="stop"), DONE]))
    pieces = list(engine.generate(ALL_IDS, Sampling()))
    assert [(p.id, p.text, p.is_end) for p in pieces] == [
        (UNKNOWN_ID, "Hel", False),
        (UNKNOWN_ID, "lo", False),
        (UNKNOWN_ID, "", True),
    ]


# What a server tells only of its own answers


def mixed(aligned_tells: tuple[str, ...], base_tells: tuple[str, ...] = ("ids", "rows", "ranks")) -> PairEngines:
    """Two servers that tell different things."""
    return mixed_with(fake(told=aligned_tells), base_tells)


def mixed_with(aligned_server: FakeServer, base_tells: tuple[str, ...] = ("ids", "rows", "ranks")) -> PairEngines:
    """The same where a test has more to say to the aligned one."""
    local = local_pair()
    base = engine_of(client_of(fake(told=base_tells).transport()), "base")
    aligned = engine_of(client_of(aligned_server.transport()), "aligned")
    return PairEngines(info=local.info, base=base, aligned=aligned, vocabulary=local.vocabulary)


@pytest.mark.parametrize("tells", [("ids", "own"), ("content",)], ids=["vllm", "llama.cpp"])
def test_an_aligned_server_that_cannot_score_tells_of_its_answer_while_it_writes(tells: tuple[str, ...]) -> None:
    engines = mixed(tells)
    assert engines.aligned.no_rows_reason and not engines.no_rows_reason
    events = list(compare(engines, asked(penalties=SidePenalties(base=1.0, aligned=1.3))))
    assert not [e for e in events if isinstance(e, Failed)]
    there = events[-1].comparison
    here = result(compare(local_pair(), asked(penalties=SidePenalties(base=1.0, aligned=1.3))))
    assert there.aligned.token_ids == here.aligned.token_ids and there.aligned.text == here.aligned.text
    for name, context in here.shift.items():
        assert not there.shift[name].exact
        for mine, theirs in zip(context.tokens, there.shift[name].tokens, strict=True):
            assert theirs.base_rank == mine.base_rank and theirs.aligned_rank == min(mine.aligned_rank, 21)
            assert theirs.aligned_probability == pytest.approx(mine.aligned_probability, rel=1e-4)
            assert theirs.kl <= mine.kl + 1e-5 and [i for i, _, _ in theirs.aligned_top] == [
                i for i, _, _ in mine.aligned_top
            ]
    with pytest.raises(SettingsError, match="No shift can be shown"):  # this answer it did not write
        next(score(engines, asked(), "an answer"))


def test_a_base_server_has_to_score_what_it_did_not_write() -> None:
    events = list(compare(mixed(("ids", "rows", "ranks"), base_tells=("ids", "own")), asked()))
    assert [(e.name, "tells no log-probabilities" in e.message) for e in events if isinstance(e, Failed)] == [
        (None, True)
    ]
    assert events[-1].comparison.base.text and events[-1].comparison.aligned.text


def test_llama_cpp_names_the_penalty_in_its_own_way() -> None:
    server = fake(told=("content",))
    engine = engine_of(client_of(server.transport()))
    pieces = list(engine.generate(ALL_IDS, Sampling(max_new_tokens=3, repetition_penalty=1.1)))
    assert [p.id for p in pieces] == [
        p.id for p in tiny.engine(seed=0).generate(ALL_IDS, Sampling(max_new_tokens=3, repetition_penalty=1.1))
    ]
    body = server.bodies[-1]
    assert body["logprobs"] == 20 and body["repeat_penalty"] == 1.1 and body["repeat_last_n"] > len(ALL_IDS)


def test_where_ids_are_left_out_the_text_goes_on_and_the_shift_ends() -> None:
    """As a real llama.cpp server does it: of a character that spans tokens it tells only the last one's id."""
    server = fake(told=("content",))
    engines, words = mixed_with(server), tiny.tokenizer()
    whole, split = words.encode("the", add_special_tokens=False), words.encode("𓀅", add_special_tokens=False)
    assert len(split) > 1

    def said(token_id: int, text: str) -> bytes:
        top = [{"id": i, "logprob": -1.0 - i} for i in range(20)]
        content = [{"id": token_id, "logprob": -1.0, "top_logprobs": top}]
        return event(text=text, logprobs={"content": content})

    events = [*(said(i, words.decode([i])) for i in whole), said(split[-1], "𓀅"), *(said(i, "the") for i in whole)]
    server.overrides.append(lambda r: streamed([*events, event(finish_reason="stop"), DONE]))
    found = list(compare(engines, asked()))
    done = found[-1].comparison
    assert done.aligned.text.startswith("the𓀅the") and done.aligned.token_ids == whole
    assert done.aligned.stop_reason == "stop" and len(done.shift["urial"].tokens) == len(whole)
    assert [(e.name, "left out ids" in e.message) for e in found if isinstance(e, Failed)] == [(None, True)]


@pytest.mark.parametrize(
    ("entries", "length"),
    [
        ([{"id": "base", "max_model_len": 512}], 512),
        ([{"id": "top", "max_model_len": 256}, {"id": "base", "parent": "top", "max_model_len": None}], 256),
        ([{"id": "base", "meta": {"n_ctx": 128}}], 128),
        ([{"id": "base", "meta": None}], UNLIMITED),
    ],
    ids=["vllm", "lora", "llama.cpp", "silent"],
)
def test_what_a_model_reads_at_most(entries: list[dict], length: int) -> None:
    server = fake()
    server.listed = lambda: {"data": entries}
    assert engine_of(client_of(server.transport())).context_length == length


def test_the_probe_names_what_is_wrong() -> None:
    server = fake()
    with pytest.raises(SettingsError, match=r"has no model 'other'; name one of these .*base, aligned"):
        engine_of(client_of(server.transport()), "other")
    server.prompt_logprobs = lambda body: [
        None,
        *(
            {
                str(i): {"logprob": -1.0 * n, "rank": 1, "decoded_token": "zzz"}
                for n, i in enumerate([t, *range(100, 119)])
            }
            for t in body["prompt"][1:]
        ),
    ]
    with pytest.raises(MismatchError, match=r"reads token .* as 'zzz'"):
        engine_of(client_of(server.transport()))


# Many at once


def test_who_has_no_place_waits_in_a_visible_line_and_can_leave_it() -> None:
    server = fake()
    client = client_of(server.transport(), limits=Limits(generating=1))
    engine = engine_of(client)
    release = asyncio.Event()

    async def slow() -> object:
        yield event(token_ids=[40], text="a")
        await release.wait()
        yield event(token_ids=[41], text="b", finish_reason="length")
        yield DONE

    server.overrides.append(lambda r: streamed(slow()))
    answers = [engine.generate(ALL_IDS, Sampling(max_new_tokens=2)) for _ in range(4)]
    next(answers[0])
    until(lambda: [a.position for a in answers] == [0, 1, 2, 3])
    assert client.generating.waiting == 3 and not answers[1].is_ready()
    answers[2].close()
    until(lambda: [a.position for a in answers] == [0, 1, 2, 2])
    client_loop_call(release.set)
    assert len(list(answers[0])) == 1
    assert [len(list(answers[i])) for i in (1, 3)] == [2, 2]
    until(lambda: client.generating.waiting == 0)


def client_loop_call(action: object) -> None:
    from urial.servers.event_loop import background

    async def act() -> None:
        action()

    background().wait(act())


def test_a_line_that_is_too_long_is_refused() -> None:
    server = fake()
    engine = engine_of(client_of(server.transport(), limits=Limits(generating=1, line=0)))
    server.overrides.append(lambda r: streamed(forever()))
    first = engine.generate(ALL_IDS, Sampling())
    next(first)
    with pytest.raises(EngineError, match="try again in a minute"):
        next(engine.generate(ALL_IDS, Sampling()))
    first.close()


async def forever() -> object:
    while True:
        yield event(token_ids=[40], text="a")
        await asyncio.sleep(0.01)


def test_stopping_closes_the_connection_within_a_moment() -> None:
    server = fake()
    engines = served(server)
    replies = [streamed(forever()), streamed(forever())]
    server.overrides += [lambda r: replies[0], lambda r: replies[1]]
    control, events = Control(), []
    for found in compare(engines, asked(max_new_tokens=900, contexts=()), control):
        events.append(found)
        if len(events) == 20:
            control.stop_all()
    reasons = {e.name: e.side.stop_reason for e in events if isinstance(e, SideDone)}
    assert reasons == {"base": "cancelled", "aligned": "cancelled"}
    until(lambda: all(reply.is_closed for reply in replies))


def test_a_side_in_line_is_told_of_and_does_not_hold_up_the_other() -> None:
    """One place: the aligned side has it, the base waits; then it is the base's turn."""
    events = list(compare(served(fake(), Limits(generating=1)), asked()))
    moves = [(e.name, e.position) for e in events if isinstance(e, Waiting)]
    assert len({name for name, _ in moves}) == 1 and moves[0][1] == 1 and moves[-1][1] == 0
    assert events[-1].comparison.base.text and events[-1].comparison.aligned.text


def until(holds: object, seconds: float = 5.0) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, "it never came to that"
        time.sleep(0.01)


def test_many_answers_at_once_are_never_mixed_up() -> None:
    server = fake()
    engine, local = engine_of(client_of(server.transport(), limits=Limits(generating=8))), tiny.engine(seed=0)
    prompts = [[2, 10 + n, 300 - n] for n in range(24)]
    answers = [engine.generate(prompt, Sampling(max_new_tokens=12)) for prompt in prompts]
    for prompt, answer in zip(prompts, answers, strict=True):
        assert list(answer) == list(local.generate(prompt, Sampling(max_new_tokens=12)))


def test_the_key_is_sent_and_appears_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("TEST_KEY", secret)
    caplog.set_level(logging.DEBUG)
    server = fake()
    client = client_of(server.transport(), api_key_env="TEST_KEY")
    engine = engine_of(client)
    pieces = list(engine.generate(ALL_IDS, Sampling(max_new_tokens=3)))
    assert all(r.headers["authorization"] == f"Bearer {secret}" for r in server.seen)
    shown = [repr(x) + str(x) for x in (client, client.address, engine, pieces, engine.capabilities)]
    for status in (400, 401, 403, 404, 422, 429, 500):
        server.overrides += [
            lambda r, s=status: httpx.Response(s, json={"error": {"message": f"key {secret} bad"}})
        ] * 40
        with pytest.raises((EngineError, SettingsError)) as caught:
            list(engine.generate(ALL_IDS, Sampling()))
        server.overrides.clear()
        error: BaseException | None = caught.value
        while error is not None:
            shown.append(repr(error) + str(error))
            error = error.__cause__ or error.__context__
    shown += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    assert not any(secret in text for text in shown)
