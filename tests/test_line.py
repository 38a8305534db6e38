"""Who waits for a step, and for how long: threads over a step that takes a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from urial.engines.line import Line, Seat

STEP = 0.02  # seconds


class Steps:
    """Steps of a line that take a while and give everyone their own token back."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.groups: list[list[Seat]] = []
        self.turn = threading.Lock()

    def run(self, wanted: Seat) -> Callable[[], None]:
        def run() -> None:
            assert self.turn.acquire(blocking=False), "two steps at once"
            going = self.line.first(wanted, 16)
            time.sleep(STEP)
            self.groups.append(going)
            self.line.serve(going, [torch.tensor(seat.token) for seat in going])
            self.turn.release()

        return run

    def answer(self, seat: Seat, tokens: range) -> list[int]:
        found = []
        for token in tokens:
            self.line.put(seat, token)
            self.line.take(seat, self.run(seat))
            found.append(int(seat.logits))
        self.line.leave(seat)
        return found


@pytest.fixture
def steps() -> Steps:
    return Steps(Line())


def new_seat() -> Seat:
    return Seat(place=None, is_greedy=True)


def test_answers_of_several_threads_fall_into_step(steps: Steps) -> None:
    lengths = range(20, 28)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda length: steps.answer(new_seat(), range(length)), lengths))
    assert found == [list(range(length)) for length in lengths]
    assert len(steps.groups) < 2 * max(lengths)  # alone it would be as many steps as tokens: 188
    assert steps.line.waiting == []


def test_one_answer_waits_for_nobody_who_is_gone(steps: Steps) -> None:
    one, other = new_seat(), new_seat()
    for seat in (one, other):
        steps.line.put(seat, 5)
    steps.line.take(one, steps.run(one))
    steps.line.leave(other)
    steps.line._patience = 60.0
    steps.answer(one, range(3))
    assert [len(group) for group in steps.groups] == [2, 1, 1, 1]


def test_one_who_stays_away_is_waited_for_once_and_not_for_long(steps: Steps) -> None:
    one, other = new_seat(), new_seat()
    for seat in (one, other):
        steps.line.put(seat, 5)
    steps.line.take(one, steps.run(one))
    steps.line.put(one, 6)
    asked, ran = time.perf_counter(), []
    steps.line.take(one, lambda: (ran.append(time.perf_counter()), steps.run(one)()))
    assert ran[0] - asked >= 0.2 * STEP  # a quarter of the step's time, which was at least STEP
    steps.line._patience = 60.0
    steps.answer(one, range(2))
    assert [len(group) for group in steps.groups] == [2, 1, 1, 1]


def test_a_step_that_fails_is_its_callers_and_the_others_go_on(steps: Steps) -> None:
    broken, other = new_seat(), new_seat()
    started = threading.Event()

    def fail() -> None:
        started.set()
        time.sleep(STEP)
        raise MemoryError

    def lead() -> None:
        steps.line.put(broken, 1)
        with pytest.raises(MemoryError):
            steps.line.take(broken, fail)
        steps.line.leave(broken)

    with ThreadPoolExecutor(1) as pool:
        led = pool.submit(lead)
        started.wait()
        assert steps.answer(other, range(2)) == [0, 1]
        led.result()
    assert steps.line.waiting == []


def test_more_than_a_step_takes_wait_for_the_next(steps: Steps) -> None:
    seats = [new_seat() for _ in range(20)]
    for seat in seats:
        steps.line.put(seat, 7)
    assert steps.line.first(seats[19], 16) == [seats[19], *seats[:15]]
