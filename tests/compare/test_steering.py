"""The dial and nudging: identities to the last token, on families of tiny models and with settings of all kinds."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.support import tiny
from tests.support.steering import asked, compared, dialled, nudged
from urial.compare.dial import checked_positions, dial
from urial.compare.nudge import nudge
from urial.compare.nudge_rules import parse_rule
from urial.compare.refusal_phrases import declines
from urial.compare.request import Control, Request
from urial.compare.steering_events import NudgeToken, PositionDone, PositionToken, SteeringStarted
from urial.engines.pair import PairEngines
from urial.errors import RecordError, SettingsError
from urial.prompts import method
from urial.records import ContextName, SidePenalties
from urial.steering_records import load_dial, load_nudge, to_json

CONTEXTS: tuple[ContextName, ...] = ("zero_shot", "urial")


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def engines(request: pytest.FixtureRequest) -> PairEngines:
    return tiny.pair(request.param)


PENALTIES = [SidePenalties(base=1.1, aligned=1.0), SidePenalties(base=1.0, aligned=1.3)]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("penalties", PENALTIES)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_the_dials_ends_are_the_two_answers(
    engines: PairEngines, context: ContextName, penalties: SidePenalties, temperature: float
) -> None:
    request = asked(penalties=penalties, temperature=temperature, top_p=0.95, seed=3)
    right = compared(engines, request, context)
    found = dialled(engines, request, [0, 0.5, 1], context=context)
    for position, side in ((found.positions[0], right.base), (found.positions[2], right.aligned)):
        assert position.token_ids == side.token_ids
        assert (position.text, position.stop_reason) == (side.text, side.stop_reason)
    rows = right.shift["urial"].tokens  # of the comparison's own method, which is this context
    assert found.positions[2].base_ranks == [row.base_rank for row in rows]
    assert found.switch_points == pytest.approx([row.switch_point for row in rows], abs=1e-4)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("penalties", PENALTIES)
def test_nudgings_ends_are_the_two_answers(
    engines: PairEngines, context: ContextName, penalties: SidePenalties
) -> None:
    request = asked(penalties=penalties)
    right = compared(engines, request, context)
    aligned, base = (nudged(engines, request, rule, context=context) for rule in ("rank>1", "first:0"))
    assert (aligned.token_ids, aligned.text) == (right.aligned.token_ids, right.aligned.text)
    assert (base.token_ids, base.text) == (right.base.token_ids, right.base.text)
    assert base.given == [] and 0 < len(aligned.given) <= len(aligned.token_ids)
    assert nudged(engines, request, "rank>9999999", context=context).token_ids == right.base.token_ids


def test_a_rule_that_gives_all_for_a_while_begins_as_the_aligned_answer(engines: PairEngines) -> None:
    request = asked()
    right = compared(engines, request, "urial")
    found = nudged(engines, request, "first:5")
    assert found.given == [0, 1, 2, 3, 4] and found.token_ids[:5] == right.aligned.token_ids[:5]
    assert len(found.token_texts) == len(found.token_ids)


def test_given_tokens_are_those_that_the_rule_names(engines: PairEngines) -> None:
    """Rank and confidence rules, held against both models' logits over the very text that came out."""
    request = asked(penalties=SidePenalties(base=1.0, aligned=1.0))
    for rule in ("rank>3", "confidence<0.3"):
        found = nudged(engines, request, rule, context="zero_shot")
        for position, (token, base, aligned) in enumerate(rows_of(engines, request, found.token_ids)):
            choice = int(aligned.argmax())
            is_given = position in found.given
            assert token == (choice if is_given else int(base.argmax()))
            if rule == "rank>3":
                assert is_given == (int((base > base[choice]).sum()) + 1 > 3)
            elif is_given:
                assert choice != int(base.argmax())
            elif choice != token:
                assert float(base.softmax(-1).max()) >= 0.3


def rows_of(engines: PairEngines, request: Request, ids: list[int]) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Each token with both models' logits [V] before it, from one pass of transformers' own."""
    right = compared(engines, request, "zero_shot")
    both = []
    for engine, prompt in ((engines.base, right.base.prompt_ids), (engines.aligned, right.aligned.prompt_ids)):
        with torch.inference_mode():
            logits = engine.model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
        both.append(logits)
    return [(token, both[0][i], both[1][i]) for i, token in enumerate(ids)]


@pytest.mark.parametrize("share", [0.25, 0.75, 1.5])
def test_each_token_is_the_first_of_the_mixture(engines: PairEngines, share: float) -> None:
    request = asked(penalties=SidePenalties(base=1.0, aligned=1.0))
    found = dialled(engines, request, [share]).positions[0]
    rows = rows_of(engines, request, found.token_ids)
    for (token, base, aligned), rank in zip(rows, found.base_ranks, strict=True):
        mixed = (1 - share) * base.double().log_softmax(-1) + share * aligned.double().log_softmax(-1)
        assert mixed[token] >= mixed.max() - 1e-4
        assert abs(rank - 1 - int((base > base[token]).sum())) <= 1


def test_identical_models_give_one_answer_and_need_no_alignment() -> None:
    engines = tiny.pair("llama", (2, 2))
    engines.aligned.encode_chat = engines.base.encode
    engines.aligned.render_chat = lambda messages: method("urial", 0).render(messages[-1].content)
    request = asked(penalties=SidePenalties(base=1.0, aligned=1.0))
    found = dialled(engines, request, [0, 0.25, 0.5, 0.75, 1], context="urial")
    assert len({tuple(position.token_ids) for position in found.positions}) == 1
    assert set(found.switch_points) == {0.0}
    assert nudged(engines, request, "rank>1").given == []


def test_events_tell_what_the_record_holds(engines: PairEngines) -> None:
    events = list(dial(engines, asked(), [0, 0.5, 1]))
    record = events[-1].record
    assert isinstance(events[0], SteeringStarted)
    for index, position in enumerate(record.positions):
        told = [event for event in events if isinstance(event, PositionToken) and event.index == index]
        assert [event.id for event in told] == position.token_ids
        assert "".join(event.text for event in told) == position.text
        assert PositionDone(index, position) in events
    events = list(nudge(engines, asked(), parse_rule("rank>3")))
    told = [event for event in events if isinstance(event, NudgeToken)]
    assert [event.id for event in told] == events[-1].record.token_ids
    assert [i for i, event in enumerate(told) if event.is_given] == events[-1].record.given


def test_a_stop_ends_all_and_leaves_nothing_behind(engines: PairEngines) -> None:
    control = Control()
    events = dial(engines, asked(max_new_tokens=400), [0, 0.5, 1], control=control)
    seen = [next(events) for _ in range(8)]
    control.stop_all()
    record = [*events][-1].record
    assert {position.stop_reason for position in record.positions} <= {"cancelled", "stop"}
    assert any(isinstance(event, PositionToken) for event in seen)
    until_free(engines)


def until_free(engines: PairEngines) -> None:
    for _ in range(200):
        if engines.base.held().sequences + engines.aligned.held().sequences == 0:
            return
        time.sleep(0.01)
    raise AssertionError("sequences are still held")


@pytest.mark.parametrize("at", [[], [-0.1], [1.6], [float("nan")], [i / 10 for i in range(10)]])
def test_positions_that_cannot_be_asked_are_refused(at: list[float]) -> None:
    with pytest.raises(SettingsError, match="The dial has"):
        checked_positions(at)


@pytest.mark.parametrize(
    "text", ["", "rank>0", "rank>-1", "rank<3", "confidence<1.1", "confidence<", "first:-1", "first:9999", "x"]
)
def test_rules_that_are_none_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write rank>R"):
        parse_rule(text)


@pytest.mark.parametrize("text", ["rank>1", "rank>3", "confidence<0.4", "confidence<1", "first:0", "first:5"])
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert parse_rule(text.replace(">", " > ")).text == text


def test_what_needs_an_adapter_or_is_sampled_is_refused(engines: PairEngines) -> None:
    with pytest.raises(SettingsError, match="no adapter"):
        next(dial(engines, asked(), kind="adapter"))
    with pytest.raises(SettingsError, match="temperature to 0"):
        next(nudge(engines, asked(temperature=0.5), parse_rule("rank>3")))


def test_records_are_saved_and_opened(engines: PairEngines, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    found = dialled(engines, asked(), [0, 0.5, 1])
    path.write_text(to_json(found), encoding="utf-8")
    assert load_dial(path) == found
    with pytest.raises(RecordError, match=r'key "schema" is .urial.dial/1.; it must be "urial.nudge/1"'):
        load_nudge(path)
    nudge_record = nudged(engines, asked(), "rank>3")
    path.write_text(to_json(nudge_record), encoding="utf-8")
    assert load_nudge(path) == nudge_record
    path.write_text(to_json(nudge_record.model_copy(update={"given": [999]})), encoding="utf-8")
    with pytest.raises(RecordError, match="given holds a position"):
        load_nudge(path)


def test_a_servers_pair_is_refused_in_one_sentence(engines: PairEngines) -> None:
    engine = engines.aligned
    served = SimpleNamespace(capabilities=replace(engine.capabilities, has_logits=False))
    with pytest.raises(SettingsError, match="not offered for this pair"):
        next(dial(replace(engines, aligned=served), asked()))
    with pytest.raises(SettingsError, match="not offered for this pair"):
        next(nudge(replace(engines, aligned=served), asked(), parse_rule("rank>3")))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I am sorry, but that would be harmful.", True),
        ("I cannot provide instructions for this.", True),
        ("I can\u2019t assist with that request.", True),
        ("As an AI, I am unable to do so.", True),
        ("Sorry to hear about your cold! Drink a lot.", False),
        ("Here are three tips: sleep, eat, move.", False),
        ("You cannot provide a cat with wings.", False),
        ("x" * 300 + " I cannot help with that.", False),
        ("", False),
    ],
)
def test_what_declines_by_its_words(text: str, right: bool) -> None:
    assert declines(text) is right
