"""A stop while a model reads: honoured within one step, and nothing half read is kept."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support import tiny
from tests.support.runners import Gate, Watched, engine_over, shared, until
from urial.compare.events import SideDone
from urial.compare.request import Control, Request
from urial.compare.run import compare, continue_base, result
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner
from urial.engines.pair import PairEngines
from urial.prompts import method
from urial.records import Comparison, SideName, SidePenalties


def request(**changes: object) -> Request:
    plain = SidePenalties(base=1.0, aligned=1.0)
    asked = {"query": "what is the answer?", "method": method("urial", 0), "max_new_tokens": 20, "penalties": plain}
    return Request(**{**asked, **changes})


def held_up(family: str, side: SideName) -> tuple[PairEngines, Gate]:
    """A pair of which one model waits before each step."""
    gate, kind = Gate(), SequentialRunner if family == "gemma2" else TorchRunner
    models = {"base": tiny.unchanged(family, 0), "aligned": tiny.unchanged(family, 1)}
    runners = {name: Watched(kind(model)) for name, model in models.items()}
    runners[side].before = gate
    made = [engine_over(shared(runners[name]), model, name) for name, model in models.items()]
    return tiny.pair_of(*made), gate


def same(one: Comparison, other: Comparison) -> None:
    for name in ("base", "aligned"):
        assert one.side(name).token_ids == other.side(name).token_ids
    for name, context in one.shift.items():
        for row, twin in zip(context.tokens, other.shift[name].tokens, strict=True):
            assert (row.id, row.base_rank) == (twin.id, twin.base_rank)
            assert row.kl == pytest.approx(twin.kl, abs=1e-5)


@pytest.mark.parametrize("side", ["base", "aligned"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_side_stops_in_the_middle_of_its_prompt_and_the_other_goes_on(family: str, side: SideName) -> None:
    wanted = result(compare(tiny.pair(family), request()))
    engines, gate = held_up(family, side)
    control = Control()
    events = compare(engines, request(), control)
    next(events)
    control.stop(side)
    gate.let_through(400)
    found = result(events)
    assert found.side(side).token_ids == [] and found.side(side).stop_reason == "cancelled"
    other = "aligned" if side == "base" else "base"
    assert found.side(other).token_ids == wanted.side(other).token_ids
    same(result(compare(engines, request())), wanted)  # nothing half read is left behind


def test_a_continuation_stops_in_the_middle_of_its_prompt() -> None:
    engines, gate = held_up("llama", "base")
    control = Control()
    threading.Timer(0.2, control.stop, ["base"]).start()
    (done,) = [event for event in continue_base(engines, request(), [40, 41], control) if isinstance(event, SideDone)]
    assert done.side.token_ids == [] and done.side.stop_reason == "cancelled"
    gate.let_through(20)
    until(lambda: engines.base.held().sequences == 0)


def test_a_stop_while_the_base_reads_its_contexts_ends_the_shift_and_says_so() -> None:
    engines, _ = held_up("llama", "base")
    engines.base.shared.runner.result().before = lambda batch: time.sleep(0.4)  # the aligned side goes on between
    control = Control()
    threading.Timer(1.0, control.stop_all).start()
    found = result(compare(engines, request(max_new_tokens=60), control))
    assert found.aligned.token_ids and found.aligned.stop_reason == "cancelled"
    assert ["before the base had read" in problem.message for problem in found.problems] == [True]
    assert all(context.tokens == [] for context in found.shift.values())
    until(lambda: engines.base.held().sequences == 0)


def test_a_second_reader_of_the_same_prompt_stops_while_the_first_still_reads() -> None:
    engines, gate = held_up("llama", "base")
    first: list[Comparison] = []
    thread = threading.Thread(target=lambda: first.append(result(compare(engines, request()))))
    thread.start()
    gate.arrived()
    control = Control()
    threading.Timer(0.2, control.stop_all).start()
    second = result(compare(engines, request(), control))
    assert second.base.stop_reason == "cancelled" and not first
    gate.let_through(400)
    thread.join(60)
    assert first[0].base.stop_reason == "length"
