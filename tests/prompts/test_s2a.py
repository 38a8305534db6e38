"""System 2 Attention: a rewrite is read, asked, recorded and shown; one that cannot be read falls back and says so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny
from urial import prompts, records, steering_records
from urial.cli.main import main, make_parser
from urial.compare.dial import dial
from urial.compare.nudge import nudge
from urial.compare.nudge_rules import parse_rule
from urial.compare.request import Control, Request
from urial.compare.run import again, compare, result
from urial.engines.base import Piece, Sampling
from urial.engines.pair import PairEngines
from urial.prompts import method, s2a
from urial.records import Comparison, Message
from urial.render import command_line, report, view
from urial.steering_records import DialRecord, NudgeRecord

QUERY = "I think it is 5. What is 2 plus 2?"
GOOD = "Context: Two is added to two.\nQuestion: What is 2 plus 2?"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (GOOD, ("Two is added to two.", "What is 2 plus 2?")),
        ("Sure!\n\n**Context:** none.\n\n**Question:** Why?", ("", "Why?")),
        ("CONTEXT: a\nb: c\n\nQUESTION: d\ne", ("a\nb: c", "d\ne")),
        ("- Context: a\n- Question: b", ("a", "b")),
        ("", None),
        ("4", None),
        ("Context: a", None),
        ("Question: b", None),
        ("Question: b\nContext: a", None),
        ("Context: a\nQuestion: ", None),
        ("Context: a\nQuestion:\n**", None),
    ],
)
def test_a_rewrite_is_read_or_not(text: str, found: tuple[str, str] | None) -> None:
    assert (s2a.read(text) or None) == found or (found and [part.rstrip("- \n") for part in s2a.read(text)] == [*found])


def test_both_calls_hold_the_texts_and_nothing_else_of_a_template() -> None:
    hostile = "{context} {question} {query}"
    assert hostile in s2a.rewrite_request(hostile)
    asked = s2a.answer_request(hostile, "Why {context}?")
    assert asked.startswith(f"{hostile}\n\nWhy {{context}}?\n\n")
    assert s2a.answer_request("", "Why?").startswith("Why?\n\n")


class Written(list):
    """Pieces that are all there."""

    position = 0

    def __next__(self) -> Piece:
        return self.pop(0)

    def is_ready(self) -> bool:
        return True

    def listen(self, listener: threading.Event) -> None:
        pass

    def close(self) -> None:
        self.clear()


def writing(engines: PairEngines, text: str) -> None:
    """The aligned model writes `text` at its first call, and as it likes then."""
    real = engines.aligned.generate

    def generate(ids: Sequence[int], sampling: Sampling) -> Any:
        engines.aligned.generate = real
        words = engines.aligned.encode_answer(text)
        texts = engines.aligned.answer_pieces(words)
        return Written([*(Piece(i, t, False) for i, t in zip(words, texts, strict=True)), Piece(1, "", True)])

    engines.aligned.generate = generate


def request(**changes: Any) -> Request:
    asked = {"query": QUERY, "method": method("urial", 0), "max_new_tokens": 12, "aligned_method": "s2a"}
    return Request(**{**asked, **changes})


def run(text: str, **changes: Any) -> Comparison:
    engines = tiny.pair()
    writing(engines, text)
    return result(compare(engines, request(**changes)))


def test_the_rewrite_is_asked_and_both_calls_are_in_the_record() -> None:
    found = run(GOOD)
    rewrite = found.rewrite
    assert "I think it is 5" not in found.aligned.prompt and "What is 2 plus 2?" in found.aligned.prompt
    assert rewrite.question == "What is 2 plus 2?" and rewrite.fallback == "" and rewrite.asked in found.aligned.prompt
    assert QUERY in rewrite.call.prompt and rewrite.call.text == GOOD and rewrite.call.prompt_ids
    assert QUERY in found.base.prompt and found.query == QUERY  # the base is asked what was asked
    assert records.from_json(records.to_json(found)) == found
    assert all(len(context.tokens) == len(found.aligned.token_ids) for context in found.shift.values())


def test_a_rewrite_that_cannot_be_read_falls_back_and_says_so() -> None:
    found = run("I would say 4.")
    assert QUERY in found.aligned.prompt and found.rewrite.asked == QUERY and found.rewrite.question is None
    assert "no question in it" in found.rewrite.fallback
    assert "as it stands" in view.payload(found)["rewrite"]["fallback"]


def test_a_real_model_that_never_ends_falls_back() -> None:
    """A tiny random model writes no rewrite; the comparison is whole all the same."""
    found = result(compare(tiny.pair(), request()))
    assert found.rewrite.fallback and found.rewrite.asked == QUERY and found.aligned.token_ids


def test_stopping_the_aligned_side_stops_its_rewrite() -> None:
    control = Control()
    control.stop("aligned")
    found = result(compare(tiny.pair(), request(), control))
    assert found.rewrite.call.stop_reason == "cancelled" and "stopped" in found.rewrite.fallback
    assert found.aligned.stop_reason == "cancelled" and found.base.token_ids


def test_without_it_nothing_changes_and_again_keeps_it() -> None:
    plain = result(compare(tiny.pair(), request(aligned_method="chat")))
    assert plain.rewrite is None and "rewrite" not in json.loads(records.to_json(plain))
    engines = tiny.pair()
    writing(engines, GOOD)
    found = result(compare(engines, request()))
    anew = result(again(engines, request(), "aligned", found))
    assert anew.rewrite == found.rewrite and anew.aligned.prompt == found.aligned.prompt


def test_it_is_shown_and_can_be_run_again() -> None:
    found = run(GOOD)
    shown = view.payload(found)["rewrite"]
    assert shown["prompt"] == found.rewrite.call.prompt and shown["text"] == GOOD and shown["fallback"] == ""
    assert "--aligned-method s2a" in command_line.command(found) and "Two is added" in report.comparison_page(found)
    options = make_parser().parse_args(["compare", "q", "--aligned-method", "s2a"])
    assert options.aligned_method == "s2a"


STEERED: dict[str, tuple[Callable[[PairEngines, Request], Iterator[Any]], type[DialRecord | NudgeRecord]]] = {
    "dial": (lambda engines, asked: dial(engines, asked, [0, 0.5, 1], "urial"), DialRecord),
    "nudge": (lambda engines, asked: nudge(engines, asked, parse_rule("rank>1")), NudgeRecord),
}


@pytest.mark.parametrize("name", STEERED)
def test_the_dial_and_nudging_ask_the_rewrite_too(name: str) -> None:
    """Their aligned end is the aligned answer of the comparison, which was asked the rewrite; the base's stays."""
    steer, kind = STEERED[name]
    right, engines = run(GOOD), tiny.pair()
    writing(engines, GOOD)
    *_, last = steer(engines, request())
    found = last.record
    assert found.rewrite.model_copy(update={"call": right.rewrite.call}) == right.rewrite
    plain = [*steer(tiny.pair(), request(aligned_method="chat"))][-1].record
    if name == "dial":
        assert found.positions[2].token_ids == right.aligned.token_ids != plain.positions[2].token_ids
        assert found.positions[0].token_ids == right.base.token_ids == plain.positions[0].token_ids
    else:
        assert found.token_ids == right.aligned.token_ids != plain.token_ids
    assert kind.model_validate_json(steering_records.to_json(found)) == found
    assert plain.rewrite is None and "rewrite" not in json.loads(steering_records.to_json(plain))


@pytest.mark.parametrize("name", STEERED)
def test_the_dial_and_nudging_use_a_rewrite_that_is_there(name: str) -> None:
    engines, earlier = tiny.pair(), run(GOOD)
    *_, last = STEERED[name][0](engines, request(rewrite=earlier.rewrite))
    assert last.record.rewrite == earlier.rewrite


@pytest.mark.parametrize("name", STEERED)
def test_a_rewrite_that_cannot_be_read_is_said_by_the_dial_and_nudging(name: str) -> None:
    *_, last = STEERED[name][0](tiny.pair(), request())
    assert last.record.rewrite.asked == QUERY and "as it stands" in last.record.rewrite.fallback


@pytest.mark.parametrize("arguments", [["dial", QUERY, "--at", "0,1"], ["nudge", QUERY, "--rule", "rank>1"]])
@pytest.mark.parametrize("text", [GOOD, "I would say 4."])
def test_the_command_line_steers_with_a_rewrite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    engines = tiny.pair()
    writing(engines, text)
    monkeypatch.setattr("urial.cli.steering_commands.open_engines", lambda options: engines)
    assert main([*arguments, "--examples", "0", "--max-new-tokens", "8", "--aligned-method", "s2a"]) == 0
    said = "[rewritten, then asked: " if text == GOOD else "[The rewrite has no question in it"
    assert capsys.readouterr().out.startswith(said)


def test_history_stays_as_it_was_written() -> None:
    history = (Message(role="user", content="first"), Message(role="assistant", content="then"))
    found = run(GOOD, history=history)
    assert "first" not in found.rewrite.call.prompt
    assert "first" in found.aligned.prompt and "then" in found.aligned.prompt


def test_thirteen_questions_are_shipped() -> None:
    path = Path(prompts.__file__).parent / "s2a_questions.jsonl"
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kinds = [item["category"] for item in found]
    assert len(found) == 13 and kinds.count("plain") == 3 and len({item["id"] for item in found}) == 13
    assert all(prompts.check_query(item["query"]) is None for item in found)
