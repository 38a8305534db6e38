"""The ladder as the page gets it: counts that are the records' own, a record for each prompt, refusals, a stop."""

from __future__ import annotations

import json

import pytest

from tests.render.test_repeats_left_out import looping
from tests.support import ui_server
from tests.ui.test_service import ASK, asked, named, run_id, steps
from urial.compare.ladder import LADDER, LadderDone, LadderRows, LadderStarted, Rung
from urial.render.sentences import fresh_summary
from urial.ui.ladder_steps import LadderSteps
from urial.ui.service import Service

COMPARED, RUN = run_id("a"), run_id("b")


@pytest.fixture
def service() -> Service:
    found = ui_server.tiny_service()
    list(found.compare(COMPARED, ASK, "visitor"))
    return found


def test_counts_end_at_those_of_the_records(service: Service) -> None:
    batches = list(service.ladder(RUN, ASK, COMPARED, "visitor"))
    found = steps(batches)
    (started,) = named(found, "ladderStart")
    assert [rung["method"] for rung in started["rungs"]] == [name for name, _ in LADDER]
    assert found[-1][0] == "ladderDone" and not named(found, "refuse")
    told = named(found, "ladderTold")
    assert [each["scored"] for each in told] == sorted(each["scored"] for each in told)
    assert told[-1]["scored"] == started["answer"] == 24
    for index in range(len(LADDER)):
        record = service.results.get(f"{RUN}/{index}").comparison()
        (context,) = record.shift
        check(told[-1]["rungs"][str(index)]["fresh"], fresh_summary(record, context))
        check(told[-1]["rungs"][str(index)]["every"], record.shift[context].summary)
        mean = fresh_summary(record, context).mean_kl
        assert told[-1]["rungs"][str(index)]["mean_kl"] == pytest.approx(mean)
    assert sum(map(len, batches)) < 40_000, "counts travel, not rows"


def check(counts: dict[str, int], summary) -> None:
    assert sum(counts[letter] for letter in "ums") == summary.tokens and counts["n"] == summary.unscored
    for letter, name in (("u", "unshifted"), ("m", "marginal"), ("s", "shifted")):
        assert counts[letter] / summary.tokens == pytest.approx(getattr(summary, name))


def test_each_prompt_can_be_had_in_full(service: Service) -> None:
    list(service.ladder(RUN, ASK, COMPARED, "visitor"))
    record = asked(service, "whole")({"id": f"{RUN}/5"})["record"]
    assert (record["settings"]["method"], record["settings"]["examples"]) == ("urial", 8)
    assert list(record["shift"]) == ["urial"]
    assert json.loads(asked(service, "export")({"id": f"{RUN}/5", "kind": "json"})["text"])["settings"]["examples"] == 8


def test_repeats_are_left_out_of_the_fresh_counts_only() -> None:
    record, kept = looping(), {}
    rows = tuple(record.shift["urial"].tokens)
    started = LadderStarted((Rung("urial", 3, 9),), len(rows))
    told = LadderSteps(record, kept.__setitem__)
    found = told.steps([started, LadderRows(0, rows[:12]), LadderRows(0, rows[12:]), LadderDone({0: record})])
    assert [name for name, _ in found] == ["ladderStart", "ladderTold", "ladderDone"] and kept == {0: record}
    check(found[1][1]["rungs"]["0"]["fresh"], fresh_summary(record, "urial"))
    check(found[1][1]["rungs"]["0"]["every"], record.shift["urial"].summary)


def test_a_forgotten_comparison_and_a_broken_question_are_refused(service: Service) -> None:
    (refused,) = named(steps(service.ladder(RUN, ASK, "f" * 32, "visitor")), "refuse")
    assert "no longer kept" in refused["message"]
    (refused,) = named(steps(service.ladder(RUN, {}, COMPARED, "visitor")), "refuse")
    assert refused["message"]


def test_a_stop_before_its_turn_ends_it(service: Service) -> None:
    asked(service, "stop")({"id": RUN, "side": "both"})
    assert [name for name, _ in steps(service.ladder(RUN, ASK, COMPARED, "visitor"))] == ["refuse"]
