"""What a server is asked at the start, and what is asked for where it refuses or gives less."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.engines.server.test_engine import asked, exact_answer, fake, local_pair
from tests.support.fake_server import FakeServer, client_of, engine_of
from urial.compare.events import Failed
from urial.compare.run import compare
from urial.engines.base import Sampling
from urial.engines.pair import PairEngines
from urial.engines.server import ServerEngine
from urial.engines.server.probe import named_limit
from urial.errors import EngineError

Body = dict[str, object]


def refusing(server: FakeServer, why: Callable[[Body], str]) -> FakeServer:
    """The server, which now refuses requests for which `why` has words."""
    before = server.answer

    async def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        words = why(body)
        if words:
            server.bodies.append(body)
            return httpx.Response(400, json={"error": {"message": words, "code": 400}})
        return await before(request)

    server.answer = answer
    return server


def opened(server: FakeServer, model: str = "base") -> ServerEngine:
    return engine_of(client_of(server.transport()), model)


def longest(body: Body) -> int:
    return max(body.get("prompt_logprobs") or 0, body.get("logprobs") or 0)


def limited(most: int, words: str) -> FakeServer:
    return refusing(fake(), lambda body: words.format(longest(body)) if longest(body) > most else "")


LIMITS = [
    (5, "Requested prompt logprobs of {}, which is greater than max allowed: 5"),
    (5, "logprobs must be between 0 and 5"),
    (8, "This model allows at most 8 logprobs (you asked for {})"),
    (10, "too many logprobs"),
    (7, "too many logprobs"),
]


@pytest.mark.parametrize(("most", "words"), LIMITS)
def test_a_limit_below_twenty_is_asked_for_and_the_shift_is_had(most: int, words: str) -> None:
    """With the limit that the server names, or with less and less where it names none."""
    servers = [limited(most, words) for _ in range(2)]
    engines = PairEngines(
        info=local_pair().info,
        base=opened(servers[0], "base"),
        aligned=opened(servers[1], "aligned"),
        vocabulary=local_pair().vocabulary,
    )
    reached = most if str(most) in words else {10: 10, 7: 5}[most]
    assert engines.base.capabilities.has_exact_rank and engines.no_rows_reason == ""
    events = list(compare(engines, asked()))
    assert not [event for event in events if isinstance(event, Failed)]
    for name, context in exact_answer().shift.items():
        rows = events[-1].comparison.shift[name].tokens
        for mine, theirs in zip(context.tokens, rows, strict=True):
            assert (theirs.base_rank, theirs.aligned_rank) == (mine.base_rank, mine.aligned_rank)
            assert theirs.kl <= mine.kl + 1e-5 and len(theirs.base_top) == min(reached, 10)
    assert {longest(body) for body in servers[0].bodies if not body.get("stream")} <= {20, 10, reached}
    assert servers[0].bodies[-1].get("prompt_logprobs", reached) == reached


def test_a_server_that_gives_shorter_lists_without_a_word_is_taken_at_its_lists() -> None:
    server = fake()
    tell = server.prompt_logprobs
    server.prompt_logprobs = lambda body: tell(body | {"prompt_logprobs": min(body["prompt_logprobs"], 6)})
    engine = opened(server)
    assert engine.capabilities.has_top and engine.capabilities.has_exact_rank
    rows = engine.open_score([2, 40], 3).extend([50, 60, 70]).rows()
    exact = local_pair().base.open_score([2, 40], 3).extend([50, 60, 70]).chunk(0, 3)
    assert [row.rank for row in rows] == [
        1 + int((logits > logits[i]).sum()) for logits, i in zip(exact, [50, 60, 70], strict=True)
    ]
    assert all(5 <= len(row.top) <= 6 for row in rows)


def test_two_entries_and_no_rank_do_not_tell_the_classes_apart() -> None:
    server = fake(told=("ids", "rows"))
    tell = server.prompt_logprobs
    server.prompt_logprobs = lambda body: tell(body | {"prompt_logprobs": 2})
    engine = opened(server)
    assert not engine.capabilities.has_top and "tells no log-probabilities" in engine.no_rows_reason


def test_a_refusal_of_prompt_log_probabilities_is_quoted() -> None:
    words = "prompt_logprobs is not supported here"
    server = refusing(fake(), lambda body: words if "prompt_logprobs" in body else "")
    engine = opened(server)
    assert not engine.capabilities.has_top and words in engine.no_rows_reason
    assert longest(server.bodies[-1]) == 20, "lists of what it writes are still asked for in full"


def test_lists_of_what_it_writes_are_had_without_those_of_the_prompt() -> None:
    """A server that knows no prompt_logprobs, and allows five of its own."""

    def why(body: Body) -> str:
        if "prompt_logprobs" in body:
            return "Unknown field"
        return "logprobs: at most 5" if longest(body) > 5 else ""

    engine = opened(refusing(fake(told=("ids", "own")), why))
    assert engine.capabilities.tells_own and "Unknown field" in engine.no_rows_reason


def test_what_refuses_everything_is_quoted() -> None:
    with pytest.raises(EngineError, match=r"refused the request \(400: no\)"):
        opened(refusing(fake(), lambda body: "no" if body else ""))
    failing = fake()
    failing.overrides += [lambda r: httpx.Response(500, json={"message": "kaput"})] * 40
    with pytest.raises(EngineError, match=r"failed \(500: kaput\)"):
        opened(failing)
    assert len(failing.bodies) <= 18, "a server that fails is not asked in small steps"


# The salt


def test_every_scoring_request_has_a_salt_of_its_own_and_no_answer_has_one() -> None:
    """A prefix cache that hands out another request's log-probabilities gives plausible, wrong numbers."""
    server = fake()
    engine = opened(server)
    session = engine.open_score([2, 40], 8)
    for ids in ([50], [60], [70]):
        session.extend(ids).rows()
    list(engine.generate([2, 40], Sampling(max_new_tokens=2)))
    salts = [body.get("cache_salt") for body in server.bodies]
    assert salts[-1] is None and server.bodies[-1]["stream"]
    assert all(isinstance(salt, str) and len(salt) >= 40 for salt in salts[:-1])
    assert len(set(salts[:-1])) == len(salts) - 1 == 4


@pytest.mark.parametrize("words", ["cache_salt: extra inputs are not permitted", "Bad Request", "unknown field"])
def test_a_server_that_refuses_the_salt_is_asked_without(words: str) -> None:
    server = refusing(fake(), lambda body: words if "cache_salt" in body else "")
    engine = opened(server)
    assert engine.capabilities.has_exact_rank and engine.no_rows_reason == ""
    rows = engine.open_score([2, 40], 1).extend([50]).rows()
    assert rows[0].rank >= 1 and "cache_salt" not in server.bodies[-1]
    assert server.bodies[-1]["prompt_logprobs"] == 20


@pytest.mark.parametrize(
    ("words", "limit"),
    [("between 0 and 5", 5), ("of 20, max allowed: 19", 19), ("at most 200", 0), ("no number", 0), ("0", 0)],
)
def test_a_limit_is_found_in_a_refusal_s_words(words: str, limit: int) -> None:
    assert named_limit(words, 20) == limit
