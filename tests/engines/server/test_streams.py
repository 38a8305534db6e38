"""How a streamed answer ends, and what of it is left out: what came is kept, no cut answer passes for a whole one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.server.test_engine import ALL_IDS, asked, exact_answer, fake, local_pair, served
from tests.engines.server.test_failures import A, B, read
from tests.support import tiny
from tests.support.fake_server import DONE, QUICK, FakeServer, client_of, engine_of, event, streamed
from urial.compare import run as core
from urial.compare.events import Failed, SideDone
from urial.compare.run import compare
from urial.engines.base import UNKNOWN_ID, Sampling
from urial.engines.server import ServerEngine
from urial.engines.server.protocol import LogprobSupport
from urial.engines.server.stream import PieceReader
from urial.errors import PromptError

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def server() -> FakeServer:
    return fake()


@pytest.fixture
def engine(server: FakeServer) -> ServerEngine:
    return engine_of(client_of(server.transport(), patience=QUICK))


def raw(**event: object) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


# Answers that were cut


def test_a_reply_that_is_done_before_the_answer_has_ended_was_cut(server: FakeServer, engine: ServerEngine) -> None:
    server.overrides.append(lambda r: streamed([A, B, DONE]))
    pieces, end = read(engine)
    assert [piece.id for piece in pieces] == [40, 41]
    assert "ended its reply without saying that the answer had ended" in end and "is kept; try again." in end


def test_a_cut_answer_is_an_error_on_its_side_and_what_came_is_kept(server: FakeServer) -> None:
    engines = served(server)
    server.overrides += [lambda r: streamed([A, B, DONE])] * 2
    events = list(compare(engines, asked(max_new_tokens=24)))
    sides = {event.name: event.side for event in events if isinstance(event, SideDone)}
    assert {name: side.stop_reason for name, side in sides.items()} == {"base": "error", "aligned": "error"}
    assert all(side.token_ids == [40, 41] and side.text for side in sides.values())
    assert sorted(str(event.name) for event in events if isinstance(event, Failed)) == ["aligned", "base"]
    assert len(events[-1].comparison.shift["urial"].tokens) == 2, "what came is still scored"


def test_the_last_token_of_the_limit_needs_no_word_of_its_end(server: FakeServer, engine: ServerEngine) -> None:
    server.overrides.append(lambda r: streamed([A, B, event(token_ids=[42], text="c"), DONE]))
    pieces, end = read(engine)
    assert len(pieces) == 3 and end == ""


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (event(finish_reason="abort"), "broke the answer off (abort); what it had written is kept"),
        (event(finish_reason="error"), "broke the answer off (error)"),
        (event(token_ids=[41], text="b", finish_reason="abort"), "broke the answer off (abort)"),
        (event(finish_reason="content_filter"), "broke the answer off (content_filter)"),
        (event(finish_reason="error", error={"message": "CUDA went away"}), "(error: CUDA went away)"),
        (event(error={"message": "no room"}), "broke the answer off (error: no room)"),
        (raw(error={"code": 503}), "reports: 503"),
        (raw(error={"type": "overloaded_error"}), "reports: overloaded_error"),
        (raw(error={"message": "", "code": "busy"}), "reports: busy"),
        (raw(error={}), "reports: an error without a word"),
        (raw(error=True), "reports: an error without a word"),
        (raw(object="error"), "reports: an error without a word"),
        (raw(object="error", message="engine dead", choices=[]), "reports: engine dead"),
        (raw(error="plain words", choices=[]), "reports: plain words"),
    ],
)
def test_a_server_that_breaks_an_answer_off_is_said_to_have_done_so(
    server: FakeServer, engine: ServerEngine, last: bytes, words: str
) -> None:
    server.overrides.append(lambda r: streamed([A, last, DONE]))
    pieces, end = read(engine)
    assert [piece.id for piece in pieces] == ([40, 41] if b'"b"' in last else [40])
    assert words in end and "left out" not in end and "OpenAI-compatible" not in end


@pytest.mark.parametrize("reason", ["stop", "eos", "eos_token", "stop_sequence"])
def test_other_words_for_a_stop_are_one(server: FakeServer, engine: ServerEngine, reason: str) -> None:
    server.overrides.append(lambda r: streamed([A, event(token_ids=[9], finish_reason=reason), DONE]))
    pieces, end = read(engine)
    assert end == "" and [(piece.id, piece.is_end) for piece in pieces] == [(40, False), (9, True)]


def test_an_error_under_a_status_of_success_is_told_of_where_rows_are_asked_for(server: FakeServer) -> None:
    engines = served(server)
    server.scored = lambda body: {"error": {"message": "worker 3 is gone"}}
    failures = [event for event in compare(engines, asked()) if isinstance(event, Failed)]
    assert [event.name for event in failures] == [None] and "reports: worker 3 is gone" in failures[0].message


# Words that came with the end


def test_a_word_that_comes_with_the_stop_is_part_of_the_answer(server: FakeServer, engine: ServerEngine) -> None:
    words = tiny.tokenizer()
    last = event(token_ids=[41], text=words.decode([41]), finish_reason="stop")
    server.overrides.append(lambda r: streamed([event(token_ids=[40], text=words.decode([40])), last, DONE]))
    pieces, end = read(engine)
    assert end == "" and [(piece.id, piece.is_end) for piece in pieces] == [(40, False), (41, False), (-1, True)]
    assert "".join(piece.text for piece in pieces) == words.decode([40, 41])


class Plain:
    """What a server sends for ids whose text it makes with the same tokenizer, in events of given sizes."""

    def __init__(self, ids: list[int], sizes: list[int], end: str) -> None:
        self.ids, self.sizes, self.end = ids, sizes, end

    def events(self) -> Iterator[dict]:
        words, start, told = tiny.tokenizer(), 0, ""
        sizes = [*self.sizes, len(self.ids)]
        while start < len(self.ids):
            stop = start + sizes.pop(0) if len(sizes) > 1 else len(self.ids)
            whole, is_last = words.decode(self.ids[:stop]), stop >= len(self.ids)
            whole = whole if is_last else whole.rstrip("\ufffd")  # half a character is held back until the end
            yield {"token_ids": self.ids[start:stop], "text": whole[len(told) :], "finish_reason": None}
            start, told = stop, whole
        if self.end:
            yield {"token_ids": [], "text": "", "finish_reason": self.end}


TEXTS = st.text(st.sampled_from("ab the.\n𓀅é你👍🏽"), max_size=12)


@given(
    TEXTS,
    st.integers(0, 3),
    st.lists(st.integers(1, 4), max_size=8),
    st.sampled_from(["stop", "length"]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_token_texts_joined_are_the_text_however_events_are_cut(
    text: str, cut: int, sizes: list[int], end: str, is_apart: bool
) -> None:
    """Also where the answer ends within a character, and whether its end comes apart or with the last token."""
    words = tiny.tokenizer()
    ids = words.encode(text, add_special_tokens=False)
    ids = ids[: len(ids) - cut]
    events = list(Plain(ids, sizes, end).events())
    if not is_apart and len(events) > 1:
        events.pop()
        events[-1]["finish_reason"] = end
    reader = PieceReader(words, {1, 3}, set(words.all_special_ids), LogprobSupport("token_ids"), 1000)
    pieces = [piece for event in events for piece in reader.pieces(event)]
    assert reader.has_ended and reader.held() == []
    assert [piece.id for piece in pieces if piece.id != UNKNOWN_ID] == ids
    assert "".join(piece.text for piece in pieces) == words.decode(ids)
    assert "".join(piece.text for piece in pieces if piece.id != UNKNOWN_ID) == words.decode(ids)


# Ids that stay away


def without_ids(server: FakeServer, after: int) -> None:
    """The server leaves out token ids in streams, from the event `after` on; never in the probe."""
    tell, count = server.told_of, {}

    def told_of(body: dict, token_id: int, row: object) -> dict:
        count[id(body)] = count.get(id(body), 0) + 1
        hide = body.get("stream") and count[id(body)] > after
        return {"token_ids": None} if hide else tell(body, token_id, row)

    server.told_of = told_of


@pytest.mark.parametrize("after", [0, 2])
def test_ids_that_are_null_in_the_stream_alone_leave_both_answers_and_a_sentence(after: int) -> None:
    server = fake()
    engines = served(server)
    without_ids(server, after)
    events = list(compare(engines, asked()))
    here, there = exact_answer(), events[-1].comparison
    for side in ("base", "aligned"):
        assert getattr(there, side).text == getattr(here, side).text
        assert getattr(there, side).stop_reason == getattr(here, side).stop_reason
        assert getattr(there, side).token_ids == getattr(here, side).token_ids[:after]
    failures = [event for event in events if isinstance(event, Failed)]
    assert [event.name for event in failures] == [None]
    words = "as far as all were told" if after else "told no token ids while it wrote"
    assert words in failures[0].message and ("No shift can be shown" in failures[0].message) == (after == 0)
    ranks = [row.base_rank for row in here.shift["zero_shot"].tokens]
    assert [row.base_rank for row in there.shift["zero_shot"].tokens] == ranks[:after]


# What is no answer, and bytes before the first


@pytest.mark.parametrize("nothing", [None, []])
def test_an_event_without_choices_is_passed_over(server: FakeServer, engine: ServerEngine, nothing: object) -> None:
    usage = raw(object="text_completion", choices=nothing, usage={"total_tokens": 3})
    last = event(token_ids=[42], text="c", finish_reason="length")
    server.overrides.append(lambda r: streamed([usage, A, usage, B, last, usage, DONE]))
    pieces, end = read(engine)
    assert [piece.id for piece in pieces] == [40, 41, 42] and end == ""


def test_a_byte_order_mark_before_the_first_event_is_no_part_of_it(server: FakeServer, engine: ServerEngine) -> None:
    last = event(token_ids=[42], text="c", finish_reason="length")
    whole = MARK + A + B + last + DONE
    for size in (1, 2, 5, len(whole)):
        parts = [whole[i : i + size] for i in range(0, len(whole), size)]
        server.overrides.append(lambda r, parts=parts: streamed(parts))
        pieces, end = read(engine)
        assert [piece.id for piece in pieces] == [40, 41, 42] and end == "", f"in parts of {size}"


def test_a_byte_order_mark_before_a_whole_reply_is_no_part_of_it(server: FakeServer) -> None:
    usual, marked = server.answer, []

    async def answer(request: httpx.Request) -> httpx.Response:
        marked.append(MARK + (await usual(request)).content)
        return httpx.Response(200, content=marked[-1])

    server.answer = answer
    assert engine_of(client_of(server.transport())).capabilities.has_exact_rank and len(marked) == 2


# Halves of characters


def test_half_a_character_from_a_server_without_ids_is_shown_as_one_that_is_missing() -> None:
    server = fake(told=())
    engine = engine_of(client_of(server.transport()))
    server.overrides.append(
        lambda r: streamed([b'data: {"choices": [{"text": "a\\ud83d"}]}\n\n', event(finish_reason="stop"), DONE])
    )
    pieces = list(engine.generate(ALL_IDS, Sampling()))
    assert "".join(piece.text for piece in pieces) == "a\ufffd"


@pytest.mark.parametrize("where", [local_pair, lambda: served(fake())], ids=["here", "there"])
@pytest.mark.parametrize("answer", ["\ud83d", "fine so far \udc80 and on"])
def test_half_a_character_in_a_scored_answer_is_one_sentence(where: Callable, answer: str) -> None:
    with pytest.raises(PromptError, match=r"The answer to score holds a broken character at position \d+; write it"):
        list(core.score(where(), asked(), answer))
