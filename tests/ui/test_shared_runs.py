"""Many visitors at once, without a browser: who waits sees how long, equal questions are one work, each stops alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import ui_server
from tests.support.runners import slow_down
from urial.errors import EngineError
from urial.records import Comparison
from urial.ui import page_steps, server_functions
from urial.ui.admission import NO_PLACE, Admission, Position
from urial.ui.api import run_compare
from urial.ui.service import Service
from urial.ui.shared_runs import NOT_BEGUN
from urial.ui.zero_gpu import perform_here

ASK = {"query": "the question", "pair": "tiny", "method": "zero_shot", "max_new_tokens": 120}


def run_id(letter: str) -> str:
    return letter * 32


def steps(batches: list[str]) -> list[tuple[str, object]]:
    return [tuple(step) for text in batches for step in json.loads(text)["do"]]


def named(found: list[tuple[str, object]], name: str) -> list:
    return [argument for step, argument in found if step == name]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(monkeypatch, 0.005)


class Counted:
    """Performs here, and counts."""

    def __init__(self) -> None:
        self.works = 0

    def __call__(self, *given: object) -> Iterator:
        self.works += 1
        return perform_here(*given)


@pytest.fixture
def service() -> Service:
    return ui_server.tiny_service()


@pytest.fixture
def counted(service: Service) -> Counted:
    service.perform = Counted()
    return service.perform


class Visitor:
    """Reads one stream in a thread of its own."""

    def __init__(self, service: Service, letter: str, **changes: object) -> None:
        self.service, self.id = service, run_id(letter)
        self.batches: list[str] = []
        self._stream = service.compare(self.id, {**ASK, **changes}, letter)
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for text in self._stream:
            self.batches.append(text)
            if self._leaves.is_set():
                break
        self._stream.close()

    def leave(self) -> None:
        """As Gradio does where the page is gone: the stream is read no further."""
        self._leaves.set()

    def until(self, is_so: Callable[[list], bool]) -> Visitor:
        wait_until(lambda: is_so(steps(list(self.batches))))
        return self

    def writes(self) -> Visitor:
        return self.until(lambda found: len(named(found, "append")) > 2)

    def stop(self, side: str = "both") -> None:
        question = next(each for each in server_functions.questions(self.service) if each.__name__ == "stop")
        assert question({"id": self.id, "side": side}) == {}

    def ends(self) -> list[tuple[str, object]]:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return steps(self.batches)

    @property
    def record(self) -> Comparison:
        return self.service.results.get(self.id).comparison()


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(6000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to that within a minute")


def streamed(found: list[tuple[str, object]], side: str) -> str:
    deltas = [delta for delta in named(found, "append") if side in delta]
    if side == "base":
        return "".join(delta["base"]["text"] for delta in deltas)
    return "".join(text for delta in deltas for _, text in delta["aligned"])


def check_stream(visitor: Visitor) -> None:
    """What came, put together, is the record."""
    found, record = visitor.ends(), visitor.record
    assert streamed(found, "base") == record.base.text and streamed(found, "aligned") == record.aligned.text
    for name, context in record.shift.items():
        rows = [delta["shift"][name]["token"] for delta in named(found, "append") if name in delta.get("shift", {})]
        assert sum(map(len, rows)) == len(context.tokens)
        assert named(found, "done")[0]["shift"][name]["rows"] == len(context.tokens)


@pytest.mark.usefixtures("slowly")
def test_what_is_slowed_down_takes_its_time(service: Service) -> None:
    """Else the tests below would stop what has already ended."""
    began = time.monotonic()
    check_stream(Visitor(service, "a", max_new_tokens=40))
    assert time.monotonic() - began >= 40 * 2 * 0.005


# Equal questions


@pytest.mark.usefixtures("slowly")
def test_equal_questions_at_once_are_one_work_and_late_ones_get_it_from_the_start(
    service: Service, counted: Counted
) -> None:
    first = Visitor(service, "a").writes()
    late = Visitor(service, "b")
    other = Visitor(service, "c", seed=1, temperature=0.5)
    from_a_program = run_compare(service, ASK, "d")
    for visitor in (first, late, other):
        check_stream(visitor)
    assert counted.works == 2
    assert first.record == late.record == from_a_program != other.record
    assert first.record.base.stop_reason == "length"


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("how", ["leaves", "stops"])
def test_the_first_goes_and_the_others_still_get_theirs(service: Service, counted: Counted, how: str) -> None:
    first = Visitor(service, "a").writes()
    second = Visitor(service, "b").writes()
    first.leave() if how == "leaves" else first.stop()
    found = first.ends()
    assert service.runs.running() == 1
    check_stream(second)
    assert second.record.base.stop_reason == second.record.aligned.stop_reason == "length"
    assert counted.works == 1 and service.runs.running() == 0
    if how == "stops":
        check_stream(first)
        part, whole = first.record, second.record
        assert part.base.stop_reason == part.aligned.stop_reason == "cancelled"
        assert 0 < len(part.base.token_ids) < 120 and whole.base.token_ids[: len(part.base.token_ids)] == (
            part.base.token_ids
        )
        for name, context in part.shift.items():
            assert context.tokens == whole.shift[name].tokens[: len(context.tokens)]
            assert len(context.tokens) <= len(part.aligned.token_ids)
            assert context.summary.tokens == sum(not row.is_special for row in context.tokens)
        assert named(found, "done")[0]["aligned"]["stop_reason"] == "cancelled"
        assert service.results.get(service.key(server_functions.asking.parse(ASK))).comparison() == whole


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("side", ["base", "aligned"])
def test_one_side_stops_for_one_visitor_only(service: Service, side: str) -> None:
    first, second = Visitor(service, "a").writes(), Visitor(service, "b").writes()
    first.stop(side)
    first.until(lambda found: any(done["name"] == side for done in named(found, "sideDone")))
    check_stream(first)
    check_stream(second)
    other = "aligned" if side == "base" else "base"
    assert first.record.side(side).stop_reason == "cancelled"
    assert first.record.side(other) == second.record.side(other)
    assert second.record.side(side).stop_reason == "length"
    ended = [done for done in named(first.ends(), "sideDone") if done["name"] == side]
    assert len(ended) == 1 and ended[0]["side"]["tokens"] == len(first.record.side(side).token_ids)


@pytest.mark.usefixtures("slowly")
def test_what_has_been_stopped_is_not_joined(service: Service, counted: Counted) -> None:
    first = Visitor(service, "a").writes()
    first.stop("base")
    first.until(lambda found: bool(named(found, "sideDone")))
    second = Visitor(service, "b")
    check_stream(second)
    check_stream(first)
    assert second.record.base.stop_reason == "length" and counted.works == 2


def test_an_equal_question_that_has_just_been_answered_needs_no_work(service: Service, counted: Counted) -> None:
    list(service.compare(run_id("a"), ASK, "x"))
    found = steps(list(service.compare(run_id("b"), ASK, "y")))
    assert [name for name, _ in found] == ["load", "done"] and counted.works == 1
    assert named(found, "load")[0]["aligned"]["text"] == service.results.get(run_id("a")).comparison().aligned.text
    assert service.results.get(run_id("b")).comparison() == service.results.get(run_id("a")).comparison()


@pytest.mark.usefixtures("slowly")
def test_what_fails_is_told_to_all(service: Service) -> None:
    def failing(*given: object) -> Iterator:
        time.sleep(0.3)
        raise RuntimeError("secret inside")
        yield

    service.perform = failing
    both = [Visitor(service, letter) for letter in "ab"]
    for visitor in both:
        (refused,) = named(visitor.ends(), "refuse")
        assert "secret" not in refused["message"] and refused["message"].endswith(".")
    assert service.runs.running() == 0
    service.perform = perform_here
    check_stream(Visitor(service, "c", max_new_tokens=8))


def test_models_exchanged_in_the_very_moment_are_loaded_again(service: Service) -> None:
    lend, calls = service.models.lend, []

    @contextmanager
    def gone_at_first(name: str) -> Iterator[object]:
        calls.append(name)
        with lend(name) as engines:
            yield engines if len(calls) > 1 else None

    service.models.lend = gone_at_first
    check_stream(Visitor(service, "a", max_new_tokens=8))
    assert len(calls) == 2


# The line


@pytest.mark.usefixtures("slowly")
def test_who_waits_sees_who_is_before_and_moves_up(service: Service, counted: Counted) -> None:
    service.admission = Admission(running=1, waiting=3)
    first = Visitor(service, "a").writes()
    waiting = []
    for letter in "bcd":
        waiting.append(Visitor(service, letter, query=letter).until(lambda found: bool(named(found, "queue"))))
    joins = Visitor(service, "e", query="d").until(lambda found: bool(named(found, "queue")))
    assert [named(steps(each.batches), "queue")[0]["before"] for each in [*waiting, joins]] == [0, 1, 2, 2]
    (refused,) = named(steps(list(service.compare(run_id("f"), {**ASK, "query": "f"}, "f"))), "refuse")
    assert refused["message"] == NO_PLACE
    waiting[0].stop()
    assert named(waiting[0].ends(), "refuse")[0]["message"] == NOT_BEGUN
    waiting[1].until(lambda found: named(found, "queue")[-1]["before"] == 0)
    joins.until(lambda found: named(found, "queue")[-1]["before"] == 1)
    waiting[1].leave()
    first.stop()
    check_stream(joins)
    assert joins.record == waiting[2].record
    assert counted.works <= 3, "those that were stopped while they waited never ran"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_estimate_is_what_the_last_ones_took() -> None:
    clock = Clock()
    admission = Admission(running=2, waiting=10, now=clock)
    one, two, three = (admission.enter() for _ in range(3))
    assert one.position is two.position is None and three.position == Position(0, None), "nobody can say yet"
    clock.now = 20.0
    one.leave(counts=True)
    assert three.position is None and three.wait(0)
    clock.now = 25.0
    waiting = [admission.enter() for _ in range(4)]
    # two began at 0 and is overdue, three at 20: free now and in 15 s, then 20 s after each of them
    assert [each.position for each in waiting] == [Position(0, 0), Position(1, 15), Position(2, 20), Position(3, 35)]
    waiting[1].leave()
    assert [each.position for each in waiting[2:]] == [Position(1, 15), Position(2, 20)]
    two.leave()  # stopped early: no word about the others
    assert waiting[0].wait(0) and waiting[2].position == Position(0, 15)


@given(st.integers(1, 4), st.integers(0, 5), st.lists(st.integers(0, 2), max_size=60))
def test_nobody_is_lost_in_the_line_and_none_is_passed(running: int, waiting: int, moves: list[int]) -> None:
    admission, here, told = Admission(running, waiting), [], 0
    for move in moves:
        if move < 2:
            try:
                here.append(admission.enter())
            except EngineError:
                told += 1
                assert len(here) == running + waiting
        elif here:
            here.pop(len(here) // 2).leave()
        inside = [ticket for ticket in here if ticket.wait(0)]
        assert inside == here[: len(inside)], "first come, first served"
        assert len(inside) == min(running, len(here))
        assert [ticket.position.before for ticket in here[len(inside) :]] == list(range(len(here) - len(inside)))


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, None), (0.0, 1), (0.2, 1), (8.1, 9), (11.0, 15), (40.0, 40), (61.0, 90)]
)
def test_seconds_are_told_in_steps_that_a_reader_can_follow(seconds: float | None, said: int | None) -> None:
    assert page_steps.queue_step(Position(3, seconds)) == ["queue", {"before": 3, "seconds": said}]
