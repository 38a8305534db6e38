"""Who waits for a step: one caller leads it for all, and those that the last step served have a moment to come back.

A caller waits for its logits or for the end of the running step, never behind the next one. Without the moment, answers
would fall apart into small groups that take turns, each paying for a whole reading of the weights.
Knows seats and time; nothing about models.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from urial.engines.output import Logits
from urial.engines.trunk import Place

PATIENCE = 0.25  # of the last step's time: the most that a step starts later for others
MOST_PATIENCE = 0.05  # seconds; a first step takes long and says nothing


@dataclass(slots=True, eq=False)
class Seat:
    """One answer's place in the stepper: the token it put in, then the logits [1, V] that follow it."""

    place: Place
    is_greedy: bool  # bounds are enough where only the largest logit counts
    token: int | None = None
    logits: Logits | None = None


class Line:
    """Seats that wait for a step; safe to use from several threads, and never held while a step runs."""

    def __init__(self) -> None:
        self.waiting: list[Seat] = []
        self._changed = threading.Condition()
        self._is_running = False
        self._away: set[Seat] = set()  # served by the last step, and neither back nor gone
        self._patience = 0.0

    def put(self, seat: Seat, token: int) -> None:
        """The token that an answer chose; from now on the seat goes with the next step."""
        with self._changed:
            seat.token, seat.logits = token, None
            self.waiting.append(seat)
            self._back(seat)

    def leave(self, seat: Seat) -> None:
        """The seat will not wait again."""
        with self._changed:
            if seat in self.waiting:
                self.waiting.remove(seat)
            self._back(seat)

    def take(self, seat: Seat, run: Callable[[], None]) -> None:
        """Returns when the seat has its logits: from another caller's step, else `run` makes one that includes it."""
        if self._leads(seat):
            started = time.perf_counter()
            try:
                run()
            finally:
                self._end(time.perf_counter() - started)

    def first(self, wanted: Seat, most: int) -> list[Seat]:
        """Up to `most` seats that wait now, `wanted` among them."""
        with self._changed:
            return [wanted, *(seat for seat in self.waiting if seat is not wanted)][:most]

    def serve(self, seats: Sequence[Seat], logits: Sequence[Logits]) -> None:
        """What a step found for each of its seats."""
        with self._changed:
            for seat, found in zip(seats, logits, strict=True):
                seat.logits = found
                self.waiting.remove(seat)
            self._away = set(seats)

    def _leads(self, seat: Seat) -> bool:
        """Whether the caller has to run a step; False once the seat has its logits."""
        with self._changed:
            self._changed.wait_for(lambda: seat.logits is not None or not self._is_running)
            if seat.logits is not None:
                return False
            self._is_running = True
            self._changed.wait_for(lambda: not self._away, self._patience)
            return True

    def _end(self, seconds: float) -> None:
        with self._changed:
            self._is_running = False
            self._patience = min(PATIENCE * seconds, MOST_PATIENCE)
            self._changed.notify_all()

    def _back(self, seat: Seat) -> None:
        self._away.discard(seat)
        if not self._away:
            self._changed.notify_all()
