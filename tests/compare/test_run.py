"""The stream of one comparison on tiny random siblings: order, exactness, stopping, failing, running again."""

from __future__ import annotations

import json

import pytest

from tests.support import tiny
from tests.support.runners import engine_over, until
from urial import records
from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.compare.request import Control, Request
from urial.compare.run import BOTH, again, compare, continue_base, result, score
from urial.engines.base import Piece, PieceStream, Sampling
from urial.engines.local.torch_runner import SequentialRunner
from urial.engines.pair import PairEngines, check_same_tokens
from urial.errors import EngineError, MismatchError, PromptError, SettingsError
from urial.prompts import method
from urial.records import Message, SidePenalties

PLAIN = SidePenalties(base=1.0, aligned=1.0)


def request(**changes: object) -> Request:
    asked = {"query": "what is the answer?", "method": method("urial", 0), "max_new_tokens": 40, "penalties": PLAIN}
    return Request(**{**asked, **changes})


def kinds(events: list[Event]) -> list[type]:
    return [type(event) for event in events]


def test_events_come_in_order_and_both_sides_stream_at_once() -> None:
    events = list(compare(tiny.pair(), request()))
    assert isinstance(events[0], Started) and isinstance(events[-1], Done)
    assert sorted(e.name for e in events if isinstance(e, SideDone)) == ["aligned", "base"]
    tokens = [type(e) for e in events if isinstance(e, BaseToken | AlignedToken)]
    assert {*tokens[:40]} == {*tokens[-40:]} == {BaseToken, AlignedToken}, "both sides stream side by side"
    first_rows = kinds(events).index(ShiftRows)
    assert first_rows < kinds(events).index(SideDone), "colours come while the answers stream"


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_identical_models_have_no_shift(family: str) -> None:
    """With the same context, the same model twice: rank 1 everywhere, KL 0."""
    engines = tiny.pair(family, seeds=(0, 0))
    engines.aligned.encode_chat = lambda rendered: engines.base.encode(rendered)
    asked = request()
    engines.aligned.render_chat = lambda messages: asked.method.render(messages[-1].content)
    shift = result(compare(engines, asked)).shift["urial"]
    assert all(row.base_rank == 1 and row.shift_class == "unshifted" for row in shift.tokens)
    assert all(abs(row.kl) < 1e-6 and abs(row.js) < 1e-6 for row in shift.tokens)
    assert shift.summary.unshifted == 1.0


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_record_keeps_its_promises(family: str) -> None:
    found = result(compare(tiny.pair(family), request()))
    assert records.from_json(records.to_json(found)) == found
    for context in found.shift.values():
        rows = context.tokens
        assert [row.position for row in rows] == list(range(len(found.aligned.token_ids)))
        assert [row.id for row in rows] == found.aligned.token_ids
        assert "".join(row.text for row in rows) == found.aligned.text
        for row in rows:
            assert (row.base_rank == 1) == (row.base_top[0][0] == row.id)
            assert row.aligned_rank == 1, "greedy without a penalty takes the most probable token"
            assert 0 <= row.kl and 0 <= row.js <= 0.6932
            assert sum(p for _, _, p in row.base_top) <= 1 + 1e-6
        parts = context.summary
        assert parts.unshifted + parts.marginal + parts.shifted == pytest.approx(1)
        assert parts.tokens == sum(not row.is_special for row in rows)
    assert found.shift["urial"].context == found.base.prompt
    assert found.shift["urial"].context_ids == found.base.prompt_ids


def test_rows_do_not_depend_on_how_the_answer_was_cut() -> None:
    """Read in step with its writing, and by a runner for which a sequence waits until several tokens are there."""
    whole = result(compare(tiny.pair(), request()))
    models = [tiny.unchanged("llama", seed) for seed in (0, 1)]
    base, aligned = (
        engine_over(SequentialRunner(model), model, side) for model, side in zip(models, BOTH, strict=True)
    )
    events = list(compare(tiny.pair_of(base, aligned), request()))
    pieces = result(iter(events))
    assert pieces.aligned.token_ids == whole.aligned.token_ids
    for name, context in whole.shift.items():
        for one, other in zip(context.tokens, pieces.shift[name].tokens, strict=True):
            assert one.base_rank == other.base_rank
            assert one.kl == pytest.approx(other.kl, abs=1e-5)


def test_only_the_asked_contexts_are_scored() -> None:
    assert list(result(compare(tiny.pair(), request(contexts=("zero_shot",)))).shift) == ["zero_shot"]


def test_one_side_can_be_stopped_alone() -> None:
    control, events = Control(), []
    for event in compare(tiny.pair(), request(), control):
        events.append(event)
        if len([e for e in events if isinstance(e, BaseToken)]) == 5:
            control.stop("base")
    found = events[-1].comparison
    assert found.base.stop_reason == "cancelled" and len(found.base.token_ids) == 5
    assert found.aligned.stop_reason == "length" and len(found.aligned.token_ids) == 40


def test_stopping_all_still_gives_a_true_record_of_what_there_is() -> None:
    control, seen = Control(), 0
    for event in compare(tiny.pair(), request(), control):
        seen += isinstance(event, AlignedToken)
        if seen == 20:
            control.stop_all()
    found = event.comparison
    assert found.aligned.stop_reason == "cancelled"
    assert len(found.shift["urial"].tokens) == len(found.aligned.token_ids) == 20


def test_leaving_in_the_middle_frees_what_the_engines_kept() -> None:
    engines = tiny.pair()
    running = compare(engines, request())
    for _ in range(50):
        next(running)
    running.close()
    until(lambda: engines.base.held().sequences == engines.aligned.held().sequences == 0)
    assert engines.aligned.held().prefixes == 0
    assert engines.base.held().prefixes <= 1, "only the method's constant beginning stays"


class Failing:
    """Pieces that break off after some."""

    def __init__(self, pieces: PieceStream, count: int) -> None:
        self._pieces, self._left = pieces, count

    def __getattr__(self, name: str) -> object:
        return getattr(self._pieces, name)

    def __next__(self) -> Piece:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError("secret inside")
        return next(self._pieces)


def test_a_side_that_fails_keeps_its_part_and_the_other_goes_on() -> None:
    engines = tiny.pair()
    whole = engines.base.generate
    engines.base.generate = lambda ids, sampling: Failing(whole(ids, sampling), 7)
    events = list(compare(engines, request()))
    (failed,) = [e for e in events if isinstance(e, Failed)]
    assert failed.name == "base" and "secret" not in failed.message
    found = events[-1].comparison
    assert found.base.stop_reason == "error" and len(found.base.token_ids) == 7
    assert found.aligned.stop_reason == "length" and found.shift["urial"].summary.tokens > 0


def test_a_shift_that_fails_leaves_both_answers() -> None:
    engines = tiny.pair()
    wide = PairEngines(engines.info, engines.base, engines.aligned, vocabulary=10_000)  # more than their heads give
    events = list(compare(wide, request()))
    (failed,) = [e for e in events if isinstance(e, Failed)]
    assert failed.name is None and "ValueError" in failed.message
    assert events[-1].comparison.aligned.stop_reason == "length"
    assert events[-1].comparison.shift["urial"].summary.unshifted is None


def test_the_base_alone_can_run_again() -> None:
    engines, asked = tiny.pair(), request(temperature=1.0)
    first = result(compare(engines, asked))
    second = result(again(engines, request(temperature=1.0, seed=9), "base", first))
    assert second.aligned == first.aligned and second.shift == first.shift
    assert second.base.token_ids != first.base.token_ids


def test_the_aligned_side_alone_can_run_again_with_its_shift() -> None:
    engines, asked = tiny.pair(), request(temperature=1.0)
    first = result(compare(engines, asked))
    second = result(again(engines, request(temperature=1.0, seed=9), "aligned", first))
    assert second.base == first.base
    assert [row.id for row in second.shift["urial"].tokens] == second.aligned.token_ids != first.aligned.token_ids


def test_the_base_continues_its_own_answer_as_it_would_have() -> None:
    """Given the first tokens of its own greedy answer, the base writes the rest of it."""
    engines, asked = tiny.pair(), request(max_new_tokens=30)
    whole = result(compare(engines, asked)).base
    events = list(continue_base(engines, request(max_new_tokens=20), whole.token_ids[:10]))
    (done,) = [e for e in events if isinstance(e, SideDone)]
    assert done.side.token_ids == whole.token_ids[10:]
    assert done.side.prompt_ids == whole.prompt_ids + whole.token_ids[:10]


def test_scoring_a_given_answer_reads_exactly_its_tokens() -> None:
    engines, answer = tiny.pair(), "the answer is naïve 🙂"
    found = result(score(engines, request(), answer))
    assert found.aligned.text == answer and found.base.token_ids == []
    for context in found.shift.values():
        assert "".join(row.text for row in context.tokens) == answer


def test_earlier_turns_reach_both_prompts() -> None:
    turns = (Message(role="user", content="first?"), Message(role="assistant", content="first answer"))
    found = result(compare(tiny.pair(), request(history=turns)))
    assert "first answer" in found.base.prompt and "first answer" in found.aligned.prompt
    assert "first answer" in found.shift["zero_shot"].context
    assert found.history == list(turns)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"query": ""}, PromptError),
        ({"query": "x" * 100_001}, PromptError),
        ({"query": "word " * 3000}, SettingsError),
        ({"max_new_tokens": 5000}, SettingsError),
        ({"history": (Message(role="assistant", content="a"),)}, PromptError),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_anything_runs(changes: dict, error: type) -> None:
    with pytest.raises(error) as caught:
        next(compare(tiny.pair(), request(**changes)))
    assert "\n" not in str(caught.value)


def test_an_empty_answer_to_score_is_refused() -> None:
    with pytest.raises(PromptError, match="empty"):
        next(score(tiny.pair(), request(), ""))


def test_a_stream_without_a_record_raises_its_first_failure() -> None:
    with pytest.raises(EngineError, match="the server left"):
        result(iter([Failed("base", "the server left"), Failed(None, "later")]))


@pytest.mark.parametrize(
    ("aligned", "fits"),
    [
        ({"a": 0, "b": 1}, True),
        ({"a": 0, "b": 1, "<chat>": 2}, True),
        ({"a": 0}, True),
        ({"a": 1, "b": 0}, False),
        ({"a": 0, "c": 1}, False),
    ],
)
def test_siblings_must_agree_on_their_ids(aligned: dict[str, int], fits: bool) -> None:
    if fits:
        check_same_tokens({"a": 0, "b": 1}, aligned, "p")
        return
    with pytest.raises(MismatchError, match="same tokenizer"):
        check_same_tokens({"a": 0, "b": 1}, aligned, "p")


# Settings belong to a side


def test_another_draw_is_recorded_as_that_sides_own() -> None:
    engines, asked = tiny.pair(), request()
    first = result(compare(engines, asked))
    events = list(again(engines, request(temperature=0.7, seed=1), "base", first))
    second = events[-1].comparison
    assert events[0].own == {"base": second.base.settings}
    assert second.settings == first.settings and second.settings.temperature == 0
    assert (second.settings_of("base").temperature, second.settings_of("base").seed) == (0.7, 1)
    assert second.aligned == first.aligned and second.settings_of("aligned") == first.settings.of("aligned")
    assert records.from_json(records.to_json(second)) == second
    third = result(again(engines, request(temperature=0.7, seed=4), "aligned", second))
    assert third.base == second.base, "the draw before it keeps its settings"
    assert third.settings_of("aligned").seed == 4 and third.settings == first.settings


def test_a_side_that_runs_again_as_it_was_has_no_settings_of_its_own() -> None:
    engines, asked = tiny.pair(), request(temperature=1.0, seed=3)
    first = result(compare(engines, asked))
    assert "settings" not in json.loads(records.to_json(first))["base"]
    drawn = result(again(engines, request(temperature=1.0, seed=4), "base", first))
    assert drawn.base.settings is not None
    back = result(again(engines, asked, "base", drawn))
    assert back.base.settings is None and back.base.token_ids == first.base.token_ids


def test_sides_can_be_asked_for_with_settings_of_their_own() -> None:
    engines = tiny.pair()
    own = Sampling(temperature=0.9, top_p=0.8, repetition_penalty=1.0, max_new_tokens=7, seed=5)
    found = result(compare(engines, request(own={"aligned": own})))
    assert len(found.aligned.token_ids) == 7 and len(found.base.token_ids) == 40
    alone = request(temperature=0.9, top_p=0.8, max_new_tokens=7, seed=5)
    assert found.aligned.token_ids == result(compare(engines, alone)).aligned.token_ids
    assert found.base.settings is None and found.settings_of("aligned").top_p == 0.8


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "another?"},
        {"method": method("zero_shot")},
        {"method": method("urial", 1)},
        {"history": (Message(role="user", content="a"), Message(role="assistant", content="b"))},
    ],
)
def test_answers_of_two_questions_are_never_joined(changes: dict) -> None:
    engines = tiny.pair()
    first = result(compare(engines, request()))
    with pytest.raises(SettingsError, match="another question"):
        next(again(engines, request(**changes), "base", first))


def test_answers_of_two_machines_are_never_joined() -> None:
    engines = tiny.pair()
    first = result(compare(engines, request()))
    elsewhere = first.model_copy(update={"pair": first.pair.model_copy(update={"device": "cuda", "dtype": "bfloat16"})})
    with pytest.raises(SettingsError, match="another machine"):
        next(again(engines, request(), "base", elsewhere))


def test_the_record_says_what_failed_and_forgets_it_with_a_new_draw() -> None:
    engines = tiny.pair()
    wide = PairEngines(engines.info, engines.base, engines.aligned, vocabulary=10_000)  # more than their heads give
    first = result(compare(wide, request()))
    (problem,) = first.problems
    assert problem.name is None and "ValueError" in problem.message
    assert records.from_json(records.to_json(first)) == first
    assert result(again(wide, request(seed=1), "base", first)).problems == [problem]
    assert result(again(engines, request(seed=1), "aligned", first)).problems == []
    assert "problems" not in json.loads(records.to_json(result(compare(engines, request()))))
