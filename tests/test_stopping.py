"""A stop while a model reads: honoured in the middle, nothing half read is kept, no sum depends on being watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest
import torch
from transformers import DynamicCache

from tests import tiny
from tests.packable import adapted, gemma
from urial import scored
from urial.compare import compare, continue_base, result
from urial.engines.stopping import Stopped, after, current, go_on, holding, result_of, stops_when
from urial.engines.weight_first import weight_first
from urial.events import Done, SideDone
from urial.prompts import method
from urial.records import Comparison, SideName, SidePenalties
from urial.request import Control, Request


def request(**changes: object) -> Request:
    plain = SidePenalties(base=1.0, aligned=1.0)
    asked = {"query": "what is the answer?", "method": method("urial", 0), "max_new_tokens": 20, "penalties": plain}
    return Request(**{**asked, **changes})


class StopsWhileReading(Control):
    """Stops one side at the n-th time that it is asked about it: a prompt asks many times, a step once."""

    def __init__(self, side: SideName, looks: int) -> None:
        super().__init__()
        self._side, self._left = side, looks

    def is_stopped(self, side: SideName) -> bool:
        if side == self._side:
            self._left -= 1
            if self._left == 0:
                self.stop(side)
        return super().is_stopped(side)


def same(one: Comparison, other: Comparison) -> None:
    for name in ("base", "aligned"):
        assert one.side(name).token_ids == other.side(name).token_ids
    assert one.shift == other.shift


@pytest.mark.parametrize("side", ["base", "aligned"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_side_stops_in_the_middle_of_its_prompt_and_the_other_goes_on(family: str, side: SideName) -> None:
    engines = tiny.pair(family)
    wanted = result(compare(tiny.pair(family), request()))
    found = result(compare(engines, request(), StopsWhileReading(side, looks=15)))
    assert found.side(side).token_ids == [] and found.side(side).stop_reason == "cancelled"
    other = "aligned" if side == "base" else "base"
    assert found.side(other).token_ids == wanted.side(other).token_ids
    same(result(compare(engines, request())), wanted)  # nothing half read is left behind


def test_a_continuation_stops_in_the_middle_of_its_prompt() -> None:
    events = list(continue_base(tiny.pair(), request(), [40, 41], StopsWhileReading("base", looks=15)))
    (done,) = [event for event in events if isinstance(event, SideDone)]
    assert done.side.token_ids == [] and done.side.stop_reason == "cancelled"


def test_a_stop_while_the_base_reads_its_contexts_ends_the_shift_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scored, "GRACE_SECONDS", 0.0)
    engines, control = tiny.pair(), Control()
    open_score = engines.base.open_score

    def stopped_now(context_ids: list[int], room: int) -> object:
        control.stop_all()
        return open_score(context_ids, room)

    engines.base.open_score = stopped_now
    found = result(compare(engines, request(max_new_tokens=60), control))
    assert found.aligned.token_ids and found.aligned.stop_reason == "cancelled"
    assert [problem.message for problem in found.problems] == [scored.STOPPED]
    assert all(context.tokens == [] for context in found.shift.values())
    engines.base.open_score = open_score
    same(result(compare(engines, request())), result(compare(tiny.pair(), request())))


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_being_watched_changes_no_bit(family: str) -> None:
    engine, ids = tiny.engine(family), list(range(5, 200))
    model = weight_first(tiny.unchanged(family, 0))  # the layers that an engine runs
    tokens, cache = torch.tensor([ids]), DynamicCache(config=model.config)
    with torch.inference_mode():
        plain = model.base_model(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state[0, -1:]
    with stops_when(lambda: False):
        assert torch.equal(engine.read(ids).last_hidden, plain)


@pytest.mark.slow
def test_compiled_loops_stop_between_two_parts_of_a_prompt_and_leave_the_cache_as_it_was() -> None:
    from urial.engines.compiled.gemma import GemmaTrunk

    model = adapted(gemma("in blocks of 32"))
    trunk, ids = GemmaTrunk(model), [3 + i % 80 for i in range(300)]
    looked: list[int] = []

    def check() -> None:
        looked.append(len(looked))
        if len(looked) == 3:
            raise Stopped

    cache, whole = (DynamicCache(config=model.config) for _ in range(2))
    trunk.reader(ids[:40], cache, is_adapted=True)
    with pytest.raises(Stopped):
        trunk.reader(ids[40:], cache, is_adapted=True, check=check)
    assert cache.get_seq_length() == 40
    rest = trunk.reader(ids[40:], cache, is_adapted=True, check=go_on)
    assert torch.equal(rest, trunk.reader(ids, whole, is_adapted=True)[40:])


# Waiting


def stops_at_once(wait: Callable[[], object]) -> float:
    """Seconds until a wait that would be for ever has ended, after it was stopped."""
    stop, ended = threading.Event(), []

    def waits() -> None:
        with pytest.raises(Stopped), stops_when(stop.is_set):
            wait()
        ended.append(time.monotonic())

    thread = threading.Thread(target=waits)
    thread.start()
    time.sleep(0.1)
    assert not ended
    stop.set()
    asked = time.monotonic()
    thread.join(30)
    return ended[0] - asked


def test_who_waits_for_a_lock_or_for_what_is_being_made_can_be_stopped() -> None:
    lock: threading.Lock = threading.Lock()

    def for_the_lock() -> None:
        with holding(lock):
            raise AssertionError("it is held")

    with lock:
        assert stops_at_once(for_the_lock) < 10
    assert stops_at_once(partial(result_of, Future())) < 10


def test_what_is_made_is_given_also_where_it_failed() -> None:
    made: Future[int] = Future()
    threading.Timer(0.1, made.set_result, [7]).start()
    assert result_of(made) == 7
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        result_of(failed)


def test_a_second_reader_of_the_same_prompt_stops_while_the_first_still_reads() -> None:
    """The first holds the model until the gate opens; the second's comparison ends before it."""
    engines, gate, reads = tiny.pair(), threading.Event(), threading.Event()
    layers = engines.base._run_layers

    def slow(*given: object, **named: object) -> torch.Tensor:
        reads.set()
        gate.wait(60)
        return layers(*given, **named)

    engines.base._run_layers = slow
    first: list[Comparison] = []
    thread = threading.Thread(target=lambda: first.append(result(compare(engines, request()))))
    thread.start()
    assert reads.wait(60)
    control = Control()
    threading.Timer(0.2, control.stop_all).start()
    (done,) = [event for event in compare(engines, request(), control) if isinstance(event, Done)]
    assert done.comparison.base.stop_reason == "cancelled" and not first
    gate.set()
    thread.join(60)
    assert first[0].base.stop_reason == "length"


def test_a_stop_counts_from_when_it_was_first_seen() -> None:
    stopped = [False]
    is_over = after(lambda: stopped[0], 0.05)
    assert not is_over()
    stopped[0] = True
    assert not is_over()
    time.sleep(0.06)
    assert is_over()
    assert current() is go_on
