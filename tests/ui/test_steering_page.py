"""The dial and nudging as the page asks for them, without a browser: streams, stops, what is offered."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support import ui_server
from urial.compare.nudge import nudge
from urial.compare.nudge_rules import parse_rule
from urial.compare.run import compare, result
from urial.compare.steering_events import NudgeToken, PositionToken
from urial.pairs import ModelSpec, Pair, load_pairs
from urial.records import Comparison, Rewrite
from urial.steering_records import DialPosition, NudgeRecord, given_words
from urial.ui import asking, server_functions
from urial.ui.compare_tab import answerings
from urial.ui.service import Service
from urial.ui.steering import offer, page_work
from urial.ui.steering_steps import pieces, position_facts, steering_steps
from urial.ui.work import READING

ASK = {"query": "the question", "pair": "tiny", "method": "zero_shot", "max_new_tokens": 24}
DIAL = {"at": [0, 0.5, 1], "context": "urial", "kind": "logits"}
RUN = "a" * 32


@pytest.fixture
def service() -> Service:
    return ui_server.tiny_service()


def steered(service: Service, how: object, **change: object) -> Iterator[list]:
    """Steps, batch by batch."""
    for text in service.steer(RUN, lambda: page_work({**ASK, **change}, how), "visitor"):
        yield json.loads(text)["do"]


def named(batches: Iterator[list], name: str) -> list:
    return [argument for steps in batches for step, argument in steps if step == name]


def compared() -> Comparison:
    return result(compare(ui_server.long_pair(), asking.to_request(asking.parse(ASK))))


def nudged(rule: str, ask: dict = ASK) -> NudgeRecord:
    request = asking.to_request(asking.parse(ask))
    return [*nudge(ui_server.long_pair(), request, parse_rule(rule))][-1].record


def test_the_dials_suffixes_join_to_the_two_answers_at_its_ends(service: Service) -> None:
    batches, right = [*steered(service, DIAL)], compared()
    assert named(batches, "steerStart") == [{"at": [0, 0.5, 1]}]
    appended = named(batches, "dialAppend")
    for index, side in (("0", right.base), ("2", right.aligned)):
        parts = [each[index] for each in appended if index in each]
        assert "".join(part["text"] for part in parts) == side.text
        assert sum(part["tokens"] for part in parts) == len(side.token_ids)
    done = {each["index"]: each for each in named(batches, "dialDone")}
    assert done[2]["shifted"] == pytest.approx(right.shift["urial"].summary.shifted)
    assert (done[2]["tokens"], done[2]["stop_reason"]) == (len(right.aligned.token_ids), "length")
    assert batches[-1][-1] == ["steerDone", {}]
    assert service.runs.running() == 0


def test_nudging_streams_its_pieces_and_ends_with_the_record(service: Service) -> None:
    batches, right = [*steered(service, {"rule": "rank>3", "context": "urial"})], nudged("rank>3")
    told = [piece for each in named(batches, "nudgeAppend") for piece in each["pieces"]]
    assert [i for i, (_, is_given) in enumerate(told) if is_given] == right.given
    assert "".join(text for text, _ in told) == right.text
    (done,) = named(batches, "steerDone")
    assert done["words"] == given_words(right)
    assert done["mean_log_probability"] == pytest.approx(right.mean_log_probability, abs=1e-4)
    assert "".join(text for text, _ in done["pieces"]) == right.text


S2A = {**ASK, "aligned_method": "s2a"}


@pytest.mark.parametrize("how", [DIAL, {"rule": "rank>1", "context": "urial"}])
def test_what_the_comparison_beside_asked_is_asked_again(service: Service, how: dict) -> None:
    """Its rewrite is used where it asked the same; where it did not, or is not kept, there is a new one."""
    call = compared().aligned
    made = Rewrite(method="s2a", call=call, context="", question="Why?", asked="Why?")
    beside = compared().model_copy(update={"rewrite": made})
    other, chat = beside.model_copy(update={"query": "another"}), beside.model_copy(update={"rewrite": None})
    assert page_work(S2A, how, lambda: beside).task.request.rewrite == made
    assert page_work(S2A, how, lambda: beside).opening == READING
    for earlier in (None, other, chat):
        work = page_work(S2A, how, lambda earlier=earlier: earlier)
        assert work.task.request.rewrite is None and "rewrites the question first" in work.opening
    assert page_work(ASK, how, lambda: beside).task.request.rewrite is None


def test_the_page_sends_the_comparison_beside(service: Service) -> None:
    """A dial of a kept comparison makes no second rewrite; one of a comparison that is not kept makes its own."""
    [*service.compare(RUN, S2A, "visitor")]
    steer = answerings(service)["steer"]
    for of, is_said in ((RUN, False), (None, True)):
        data = {"id": f"{of}"[:1] * 31 + "b", "ask": S2A, "how": DIAL, "of": of}
        steps = [step for text in steer(data, "visitor") for step in json.loads(text)["do"]]
        said = [argument["message"] for name, argument in steps if name == "say"]
        assert any("rewrites the question first" in each for each in said) is is_said
        assert steps[-1][0] == "steerDone"


@pytest.mark.parametrize("kept", range(0, 30, 3))
def test_pieces_are_cut_where_the_answer_ends(kept: int) -> None:
    """A stop mark is no part of the text; each piece knows whether it was given."""
    record = nudged("first:3")
    cut = record.model_copy(update={"text": record.text[:kept]})
    found = pieces(cut)
    assert "".join(text for text, _ in found) == record.text[:kept]
    assert [is_given for _, is_given in found][:3] == [True] * min(3, len(found))
    assert not any(is_given for _, is_given in found[3:])


@pytest.mark.parametrize(("ranks", "counted", "ends"), [([1, 5], 2, 0), ([1, None, 40], 1, 1), ([None], 0, 0)])
def test_end_tokens_are_told_apart_from_those_of_the_share(ranks: list[int | None], counted: int, ends: int) -> None:
    """Neither an end token nor one that the base does not know is in the share; only the first is an end."""
    ids, share = list(range(len(ranks))), 0.0 if counted else None
    told = {"text": "", "stop_reason": "stop", "shifted": share, "tokens": counted, "declines": False}
    facts = position_facts(DialPosition(at=1, token_ids=ids, base_ranks=ranks, **told))
    assert (facts["tokens"], facts["counted"], facts["ends"]) == (len(ranks), counted, ends)


@pytest.mark.parametrize("cut", range(0, 12, 2))
def test_steps_are_the_same_text_however_events_are_batched(cut: int) -> None:
    events = [PositionToken(i % 3, i, f"{i} ") for i in range(10)]
    events += [NudgeToken(i, f"{i}", i % 2 == 0) for i in range(4)]
    steps = [*steering_steps(events[:cut]), *steering_steps(events[cut:])]
    for index in range(3):
        joined = "".join(each.get(str(index), {"text": ""})["text"] for name, each in steps if name == "dialAppend")
        assert joined == "".join(f"{i} " for i in range(10) if i % 3 == index)
    told = [piece for name, each in steps if name == "nudgeAppend" for piece in each["pieces"]]
    assert told == [[f"{i}", i % 2 == 0] for i in range(4)]


def test_a_stop_leaves_what_was_written(service: Service) -> None:
    stream = steered(service, DIAL, max_new_tokens=400)
    seen = []
    for steps in stream:
        seen.append(steps)
        if named([steps], "dialAppend"):
            server_functions.stop(service, {"id": RUN, "side": "both"})
    done = named(seen, "dialDone")
    assert [each["stop_reason"] for each in done] == ["cancelled"] * 3
    assert 0 < max(each["tokens"] for each in done) < 400
    assert named(seen, "steerDone") == [{}]


def test_one_stopped_before_its_turn_never_begins(service: Service) -> None:
    server_functions.stop(service, {"id": RUN, "side": "both"})
    (refused,) = named(steered(service, DIAL), "refuse")
    assert refused["message"] == "Stopped before it began."
    assert service.runs.running() == 0


@pytest.mark.parametrize(
    ("how", "change", "words"),
    [
        ({**DIAL, "at": [0, 9]}, {}, "choose numbers from 0"),
        ({**DIAL, "at": "0"}, {}, "list of numbers"),
        ({**DIAL, "at": [True]}, {}, "list of numbers"),
        ({**DIAL, "context": "<b>"}, {}, "choose zero_shot or urial"),
        ({**DIAL, "kind": "adapter"}, {}, "nothing to scale"),
        ({**DIAL, "kind": None}, {}, "choose logits or adapter"),
        ({"rule": "rank>0", "context": "urial"}, {}, "write rank>R"),
        ({"rule": 3, "context": "urial"}, {}, "must be a text"),
        ({"rule": "first:5"}, {}, "choose zero_shot or urial"),
        ({"rule": "first:5", "context": "urial"}, {"temperature": 1}, "temperature to 0"),
        (DIAL, {"pair": "nobody"}, "no pair"),
        (DIAL, {"query": " "}, "empty"),
        (DIAL, {"method": "file"}, "command line"),
        (None, {}, "choose zero_shot or urial"),
        ("nonsense", {}, "choose zero_shot or urial"),
    ],
)
def test_a_mistake_is_one_sentence(service: Service, how: object, change: dict, words: str) -> None:
    batches = [*steered(service, how, **change)]
    assert [name for steps in batches for name, _ in steps if name != "say"] == ["refuse"]
    (refused,) = named(batches, "refuse")
    assert words in refused["message"] and "\n" not in refused["message"]
    assert service.runs.running() == 0


# What is offered


def pair_of(base: dict, aligned: dict) -> Pair:
    return Pair(name="p", title="P", base=ModelSpec(**base), aligned=ModelSpec(**aligned), licence="none")


SERVER = {"server": {"base_url": "http://127.0.0.1:1/v1", "model": "m"}}
ADAPTER = {"adapter": {"folder": "a"}}


@pytest.mark.parametrize(
    ("base", "aligned", "kinds"),
    [
        ({"folder": "b"}, {"folder": "c"}, ["logits"]),
        ({"folder": "b"}, {"folder": "b", **ADAPTER}, ["logits", "adapter"]),
        ({"folder": "b"}, {"folder": "b", "chat_template": "t", **ADAPTER}, ["logits", "adapter"]),
        ({"folder": "b"}, {"folder": "c", **ADAPTER}, ["logits"]),
        ({"folder": "b", **ADAPTER}, {"folder": "b"}, ["logits"]),
        (SERVER, {"folder": "c"}, []),
        ({"folder": "b"}, SERVER, []),
    ],
)
def test_a_pair_offers_what_it_can(base: dict, aligned: dict, kinds: list[str]) -> None:
    found = offer(pair_of(base, aligned))
    assert found["kinds"] == kinds
    assert bool(found["refusal"]) == (kinds == [])
    assert found["refusal"].count(".") <= 1


def test_the_embedded_pair_offers_its_adapter() -> None:
    found = load_pairs()
    assert offer(found.pairs[found.default])["kinds"] == ["logits", "adapter"]
