"""How many comparisons run at once, and the line of those that wait: first come, first served, with honest words.

The estimate is from what the last ones took: it is "about", and there is none before a first one has ended.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from urial.errors import EngineError

NO_PLACE = "There is no free place right now: as many visitors wait as may. Try again in a minute."
REMEMBERED = 16  # runs whose time the estimate is made of


@dataclass(frozen=True, slots=True)
class Position:
    """Where one stands: how many wait before, and about how many seconds until it begins (None: nobody can say)."""

    before: int
    seconds: float | None


class Admission:
    """Places for `running` at once, and a line for `waiting` more; safe to use from several threads."""

    def __init__(self, running: int = 2, waiting: int = 64, now: Callable[[], float] = time.monotonic) -> None:
        self.running = running
        self.waiting = waiting
        self._now = now
        self._changed = threading.Condition()
        self._line: list[Ticket] = []
        self._inside: dict[Ticket, float] = {}  # when each began
        self._took: deque[float] = deque(maxlen=REMEMBERED)

    def enter(self) -> Ticket:
        """A place, or one in the line. Raises EngineError where the line is full."""
        ticket = Ticket(self)
        with self._changed:
            self._line.append(ticket)
            self._admit()
            if ticket not in self._inside and len(self._line) > self.waiting:
                self._line.remove(ticket)
                raise EngineError(NO_PLACE)
        return ticket

    def wait(self, ticket: Ticket, seconds: float) -> bool:
        """Whether the ticket has its place within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: ticket in self._inside, timeout=seconds)

    def leave(self, ticket: Ticket, *, counts: bool) -> None:
        """Give up the place, or that in the line; with `counts` its time speaks for those to come."""
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
            began = self._inside.pop(ticket, None)
            if counts and began is not None:
                self._took.append(self._now() - began)
            self._admit()
            self._changed.notify_all()

    def position(self, ticket: Ticket) -> Position | None:
        """None for one that waits no more."""
        with self._changed:
            if ticket not in self._line:
                return None
            before = self._line.index(ticket)
            return Position(before, self._seconds(before))

    def _admit(self) -> None:
        while self._line and len(self._inside) < self.running:
            self._inside[self._line.pop(0)] = self._now()
        self._changed.notify_all()

    def _seconds(self, before: int) -> float | None:
        """Until a place is free for the one after `before` others: each takes the place that is free first."""
        if not self._took:
            return None
        usual, now = sum(self._took) / len(self._took), self._now()
        free = [max(0.0, usual - (now - began)) for began in self._inside.values()]
        heapq.heapify(free)
        for _ in range(before):
            heapq.heapreplace(free, free[0] + usual)
        return free[0]


class Ticket:
    """One who has asked for a place."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def wait(self, seconds: float) -> bool:
        return self._admission.wait(self, seconds)

    @property
    def position(self) -> Position | None:
        return self._admission.position(self)

    def leave(self, *, counts: bool = False) -> None:
        self._admission.leave(self, counts=counts)
