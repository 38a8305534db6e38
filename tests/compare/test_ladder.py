"""The ladder of prompts on tiny models: each prompt's numbers are those of `score`, whichever way it ends."""

from __future__ import annotations

import pytest

from tests.support import tiny
from tests.support.ui_server import long_pair
from urial import records
from urial.compare.ladder import LADDER, LadderDone, LadderRows, LadderStarted, ladder
from urial.compare.request import Control, Request
from urial.compare.run import compare, result, score
from urial.errors import PromptError, SettingsError
from urial.prompts import method
from urial.records import Comparison, Message, SidePenalties

ANSWER = "the answer to the question is here, the question is the answer"
HISTORY = (Message(role="user", content="before"), Message(role="assistant", content="said"))


def asked(name: str = "urial", examples: int | None = None, **changes: object) -> Request:
    values = {"query": "what is the answer?", "penalties": SidePenalties(base=1.0, aligned=1.0), "max_new_tokens": 20}
    return Request(method=method(name, examples), **{**values, **changes})


def scored(name: str = "urial", examples: int | None = None, **changes: object) -> Comparison:
    return result(score(long_pair(), asked(name, examples, **changes), ANSWER))


@pytest.mark.parametrize("history", [(), HISTORY], ids=["first", "third"])
def test_each_prompt_has_the_numbers_that_scoring_gives(history: tuple[Message, ...]) -> None:
    events = list(ladder(long_pair(), scored(history=history)))
    started, done = events[0], events[-1]
    assert isinstance(started, LadderStarted) and isinstance(done, LadderDone)
    assert [(rung.method, rung.problem) for rung in started.rungs] == [(name, "") for name, _ in LADDER]
    for index, (name, examples) in enumerate(LADDER):
        context = "zero_shot" if name == "zero_shot" else "urial"
        found, expected = done.records[index].shift[context], scored(name, examples, history=history).shift[context]
        assert found.context == expected.context and found.context_ids == expected.context_ids
        assert len(found.context_ids) == started.rungs[index].tokens
        assert [row.base_rank for row in found.tokens] == [row.base_rank for row in expected.tokens]
        for one, other in zip(found.tokens, expected.tokens, strict=True):
            assert (one.id, one.text, one.shift_class) == (other.id, other.text, other.shift_class)
            assert one.kl == pytest.approx(other.kl, abs=1e-5)
            assert one.base_probability == pytest.approx(other.base_probability, abs=1e-6)
        streamed = [
            row for event in events if isinstance(event, LadderRows) and event.rung == index for row in event.rows
        ]
        assert streamed == found.tokens


def test_the_rungs_of_an_own_answer_hold_those_of_its_comparison() -> None:
    """The comparison's two contexts are two of the rungs: same answer, end token included, same numbers."""
    earlier = result(compare(tiny.pair(), asked("urial", 0)))
    done = list(ladder(tiny.pair(), earlier))[-1]
    for name, index in (("zero_shot", 0), ("urial", 2)):
        record = done.records[index]
        assert record.aligned == earlier.aligned
        for one, other in zip(record.shift[name].tokens, earlier.shift[name].tokens, strict=True):
            assert (one.position, one.id, one.text, one.base_rank) == (
                other.position,
                other.id,
                other.text,
                other.base_rank,
            )
            assert one.kl == pytest.approx(other.kl, abs=1e-5)


def test_a_record_of_a_rung_can_be_saved_and_says_its_prompt() -> None:
    done = list(ladder(long_pair(), scored()))[-1]
    for index, (name, examples) in enumerate(LADDER):
        record = records.from_json(records.to_json(done.records[index]))
        assert (record.settings.method, record.base.text, len(record.shift)) == (name, "", 1)
        assert examples is None or record.settings.examples == examples
        (shift,) = record.shift.values()
        assert record.base.prompt == shift.context


def test_a_stop_leaves_every_rung_at_the_same_token() -> None:
    control, seen = Control(), 0
    for event in ladder(long_pair(), scored(), control):
        if isinstance(event, LadderRows):
            seen += 1
            control.stop_all()
    assert seen
    lengths = {len(shift.tokens) for record in event.records.values() for shift in record.shift.values()}
    assert len(lengths) == 1


def test_a_stop_before_the_first_row_ends_at_once() -> None:
    control = Control()
    control.stop_all()
    events = list(ladder(long_pair(), scored(), control))
    assert [type(event) for event in events] == [LadderStarted, LadderDone]


def test_a_prompt_that_does_not_fit_says_so_and_the_others_are_read() -> None:
    pair = tiny.pair()  # reads 2,048 tokens
    fits = result(score(pair, asked("zero_shot"), ANSWER))
    events = list(ladder(pair, fits))
    problems = [rung.problem for rung in events[0].rungs]
    assert problems[0] == "" and problems[-1] != ""
    assert list(events[-1].records) == [index for index, problem in enumerate(problems) if not problem]


def test_what_cannot_be_scored_is_refused_in_a_sentence() -> None:
    earlier = scored()
    elsewhere = earlier.model_copy(update={"pair": earlier.pair.model_copy(update={"device": "elsewhere"})})
    with pytest.raises(SettingsError, match="other models"):
        next(ladder(long_pair(), elsewhere))
    for ids, words in (([], "no aligned answer"), ([10**6], "does not know token 1000000"), ([-1], "token -1")):
        wrong = earlier.model_copy(update={"aligned": earlier.aligned.model_copy(update={"token_ids": ids})})
        with pytest.raises(PromptError, match=words):
            next(ladder(long_pair(), wrong))
