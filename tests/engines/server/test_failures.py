"""Servers that are slow, broken, half-closed or talk nonsense: each ends in a sentence, nothing is shown twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.engines.server.test_engine import ALL_IDS, asked, fake, served
from tests.support.fake_server import DONE, QUICK, URL, FakeServer, client_of, engine_of, event, streamed
from urial.compare.events import Done, Failed, ShiftRows, SideDone
from urial.compare.run import compare
from urial.engines.base import Piece, Sampling
from urial.engines.server import ServerEngine
from urial.errors import EngineError, PairsError, UrialError
from urial.pairs import load_pairs

A, B = event(token_ids=[40], text="a"), event(token_ids=[41], text="b")
LAST = event(token_ids=[42], text="c", finish_reason="length")


@pytest.fixture
def server() -> FakeServer:
    return fake()


@pytest.fixture
def engine(server: FakeServer) -> ServerEngine:
    return engine_of(client_of(server.transport(), patience=QUICK))


def read(engine: ServerEngine) -> tuple[list[Piece], str]:
    """What came, and how it ended."""
    pieces: list[Piece] = []
    try:
        for piece in engine.generate(ALL_IDS, Sampling(max_new_tokens=3)):
            pieces.append(piece)
    except UrialError as error:
        assert "\n" not in str(error) and str(error).endswith(".")
        return pieces, f"{type(error).__name__}: {error}"
    return pieces, ""


async def then(chunks: list[bytes], end: object) -> object:
    """Chunks, then a failure, or silence."""
    for chunk in chunks:
        yield chunk
    if isinstance(end, Exception):
        raise end
    await asyncio.sleep(end)


def broken(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def status(code: int, **content: object) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(code, **content)


def test_an_answer_may_be_cut_into_any_bytes(server: FakeServer, engine: ServerEngine) -> None:
    tricky = event(token_ids=[40], text="a\u2028b\u0085c")  # a line to `splitlines`, not to the format
    whole = b": keep-alive\r\n\r\n" + A.replace(b"\n", b"\r\n") + b"event: x\nid: 3\n" + tricky + LAST + DONE
    for size in (1, 2, 3, 7, 64, len(whole)):
        parts = [whole[i : i + size] for i in range(0, len(whole), size)]
        server.overrides.append(lambda r, parts=parts: streamed(parts))
        pieces, end = read(engine)
        assert end == "" and [p.id for p in pieces] == [40, 40, 42], f"in parts of {size}"


def test_several_ids_in_one_event_are_several_pieces(server: FakeServer, engine: ServerEngine) -> None:
    server.overrides.append(lambda r: streamed([event(token_ids=[40, 41, 42], text="abc", finish_reason="length")]))
    pieces, end = read(engine)
    assert [p.id for p in pieces] == [40, 41, 42] and end == ""


def test_an_end_token_ends_the_answer_whatever_the_server_thinks(server: FakeServer, engine: ServerEngine) -> None:
    server.overrides.append(lambda r: streamed(then([A, event(token_ids=[3], text=""), B], 60)))
    pieces, end = read(engine)
    assert [(p.id, p.is_end) for p in pieces] == [(40, False), (3, True)] and end == ""


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (lambda r: streamed([A, B]), "broke off in the middle"),
        (lambda r: streamed([A, B[:-9]]), "broke off in the middle"),
        (lambda r: streamed(then([A], httpx.ReadError("reset"))), "broke off in the middle"),
        (lambda r: streamed(then([A], httpx.RemoteProtocolError("half closed"))), "broke off in the middle"),
        (lambda r: streamed(then([A], 60)), "has sent nothing more for 0.4 s"),
        (lambda r: streamed([A, b"data: {not json\n\n"]), "not JSON"),
        (lambda r: streamed([A, b"data: \xff\xfe\n\n"]), "not UTF-8"),
        (lambda r: streamed([A, b'data: {"error": {"message": "engine died"}}\n\n', DONE]), "engine died"),
        (lambda r: streamed([A, b'data: {"object": "x"}\n\n']), "left out 'choices'"),
        (lambda r: streamed([A, b'data: {"choices": [7]}\n\n']), "left out 'choices[0]'"),
        (lambda r: streamed([A, event(text="b", token_ids=["x"])]), "left out 'token_ids'"),
        (lambda r: streamed([A, event(text="b", token_ids=[2**70])]), "left out 'token_ids'"),
        (lambda r: streamed([A, event(text="b", token_ids=[True])]), "left out 'token_ids'"),
        (lambda r: streamed([A, event(text=5, token_ids=[1])]), "left out 'text'"),
        (lambda r: streamed([A, event(finish_reason="abort")]), "abort"),
    ],
)
def test_an_answer_that_breaks_keeps_what_came_and_is_not_asked_for_again(
    server: FakeServer, engine: ServerEngine, handler: Callable, words: str
) -> None:
    server.overrides.append(handler)
    before = len(server.bodies)
    pieces, end = read(engine)
    assert [p.id for p in pieces][:1] == [40] and words in end
    assert URL in end or "The server sent" in end
    assert len(server.bodies) == before + 1


@pytest.mark.parametrize(
    ("handler", "words", "tries"),
    [
        (status(401, json={"error": "no"}), "SettingsError: The server http://fake/v1 asks for a key (401)", 1),
        (status(403), "asks for a key (403)", 1),
        (status(404, json={"detail": "Not Found"}), "(404: Not Found); correct base_url or model", 1),
        (status(429, json={"error": {"message": "slow down"}}), "too many requests (429); wait a minute", 1),
        (status(400, json={"error": {"message": "bad\nthing"}}), "refused the request (400: bad thing)", 1),
        (status(307, headers={"location": "http://elsewhere"}), "refused the request (307)", 1),
        (status(200, content=b"<html>hello</html>"), "closed the connection before it answered", None),
        (status(200, content=b"data: <html>\n\n"), "not JSON", 1),
        (status(500, content=b"<html>trace</html>"), "failed (500); look into its log", 6),
        (status(503, json={"message": "starting"}), "failed (503: starting)", None),
        (broken(httpx.ConnectError("refused")), "cannot be reached (ConnectError); start it", None),
        (broken(httpx.ReadError("reset")), "cannot be reached (ReadError)", None),
        (lambda r: asyncio.sleep(60), "did not answer within 0.6 s", 1),
        (lambda r: streamed(then([b": keep-alive\n\n"], 60)), "did not answer within 0.6 s", 1),
    ],
)
def test_an_answer_that_never_begins_is_one_sentence(
    server: FakeServer, engine: ServerEngine, handler: Callable, words: str, tries: int | None
) -> None:
    """`tries`: how often it is asked for; None for as long as a server may be away."""
    before = len(server.bodies)
    server.overrides += [handler] * 200
    pieces, end = read(engine)
    asked = len(server.bodies) - before
    assert pieces == [] and words in end
    assert asked == tries if tries else asked > 6


def test_a_server_that_comes_back_is_waited_for(server: FakeServer, engine: ServerEngine) -> None:
    server.overrides += [
        broken(httpx.ConnectError("refused")),
        status(503),
        status(500),
        lambda r: streamed([b": keep-alive\n\n"]),
        lambda r: streamed(then([], httpx.ReadError("reset"))),
    ]
    pieces, end = read(engine)
    assert len(pieces) == 3 and end == "" and not server.overrides


def test_a_dying_server_ends_one_side_and_the_other_and_its_colours_go_on(server: FakeServer) -> None:
    engines = served(server)

    def dies_for_the_base(r: httpx.Request) -> httpx.Response:
        if b'"model":"base"' in r.content:
            return streamed(then([A, B], httpx.ReadError("killed")))
        return streamed(server.written(server.bodies[-1]))

    server.overrides += [dies_for_the_base, dies_for_the_base]
    events = list(compare(engines, asked()))
    sides = {e.name: e.side for e in events if isinstance(e, SideDone)}
    assert sides["base"].stop_reason == "error" and sides["base"].token_ids == [40, 41] and sides["base"].text
    assert sides["aligned"].stop_reason != "error"
    assert [(e.name, "kept; try again" in e.message) for e in events if isinstance(e, Failed)] == [("base", True)]
    assert any(isinstance(e, ShiftRows) for e in events) and isinstance(events[-1], Done)


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"text": "x"}]},
        {"choices": [{"text": "x", "prompt_logprobs": [None, {}]}]},
        {"choices": []},
        {"nothing": 1},
        [1, 2],
    ],
)
def test_scores_that_are_not_there_end_the_shift_and_leave_the_answers(server: FakeServer, reply: object) -> None:
    engines = served(server)
    server.scored = lambda body: reply
    events = list(compare(engines, asked()))
    failures = [e for e in events if isinstance(e, Failed)]
    assert len(failures) == 1 and failures[0].name is None and "left out" in failures[0].message
    assert events[-1].comparison.aligned.text
    assert {name: context.tokens for name, context in events[-1].comparison.shift.items()} == {
        "zero_shot": [],
        "urial": [],
    }


def test_headers_that_come_late_do_not_stretch_the_time_to_the_first_token(
    server: FakeServer, engine: ServerEngine
) -> None:
    async def late(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(QUICK.first * 0.8)
        return streamed(later())

    async def later() -> object:
        await asyncio.sleep(QUICK.first * 0.8)
        yield A

    server.overrides.append(late)
    pieces, end = read(engine)
    assert pieces == [] and "did not answer within 0.6 s" in end


def test_an_error_that_comes_before_the_first_word_says_nothing_of_words(
    server: FakeServer, engine: ServerEngine
) -> None:
    server.overrides.append(lambda r: streamed([b'data: {"error": {"message": "no room."}}\n\n', DONE]))
    pieces, end = read(engine)
    assert pieces == [] and end.endswith("reports: no room; look into its log, then try again.")


def test_at_a_start_a_server_that_is_down_is_reported_soon() -> None:
    down = httpx.MockTransport(broken(httpx.ConnectError("refused")))
    with pytest.raises(EngineError, match="cannot be reached"):
        engine_of(client_of(down))


@pytest.mark.parametrize("listed", [{"data": "x"}, [], {"data": [3]}, {}])
def test_a_list_of_models_that_is_none(listed: object) -> None:
    odd = httpx.MockTransport(lambda r: httpx.Response(200, json=listed))
    with pytest.raises(EngineError, match="left out 'data'"):
        engine_of(client_of(odd))


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://host/v1?key=secret", "http://host/v1#secret"])
def test_an_address_with_a_key_in_it_is_refused_without_repeating_it(url: str, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    model = f"{{server: {{base_url: '{url}', model: m}}}}"
    file.write_text(f"default: p\npairs: [{{name: p, title: t, licence: l, base: {model}, aligned: {model}}}]\n")
    with pytest.raises(PairsError, match="api_key_env") as caught:
        load_pairs(file)
    assert "secret" not in str(caught.value)
