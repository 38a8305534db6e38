"""Model work on its way, and who waits for it: equal questions asked at once are one run with several visitors.

A shared run keeps what it has brought, so that who joins late gets everything from the start. It is stopped when its
last visitor has left or has stopped it; while others look on, a stop is the visitor's own (`cut.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from urial.compare.events import Event, Started
from urial.compare.request import Control
from urial.records import SideName
from urial.ui.result_cache import Result

NOT_BEGUN = "Stopped before it began."


@dataclass(frozen=True, slots=True)
class Update:
    """What is new since a visitor looked last; `before` says what the run waited for before its first events."""

    before: list[Any] | None
    events: list[Event]
    is_over: bool
    error: str


@dataclass(slots=True, eq=False)
class SharedRun:
    """One piece of work: written by one thread, read by several."""

    control: Control
    visitors: int = 0  # of `SharedRuns`, under its lock
    began: float = 0.0  # when its prompts were made
    thread: threading.Thread | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _before: list[Any] | None = None
    _events: list[Event] = field(default_factory=list)
    _is_over: bool = False
    _error: str = ""

    @property
    def is_stopped(self) -> bool:
        return self.control.is_stopped("base") and self.control.is_stopped("aligned")

    def say(self, step: list[Any]) -> None:
        """What it waits for now, as a step of the page."""
        with self._changed:
            if step != self._before:
                self._before = step
                self._changed.notify_all()

    def add(self, events: list[Event]) -> None:
        with self._changed:
            if any(isinstance(event, Started) for event in events):
                self.began = time.monotonic()
            self._events += events
            self._changed.notify_all()

    def end(self, error: str = "") -> None:
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def update(self, seen: int, before: list[Any] | None, seconds: float) -> Update:
        """What is there beyond the first `seen` events; waits for it for at most that time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or len(self._events) > seen or self._before != before, timeout=seconds
            )
            return Update(self._before, self._events[seen:], self._is_over, self._error)


class SharedRuns:
    """Those that can be joined, by what they answer; safe to use from several threads."""

    def __init__(self, new_control: Callable[[], Control]) -> None:
        self._new_control = new_control
        self._lock = threading.Lock()
        self._by_key: dict[str, SharedRun] = {}

    def join(self, key: str | None, kept: Callable[[], Result | None]) -> tuple[SharedRun | Result, bool]:
        """What is kept, else the shared run of that key, else a new one (True: the caller starts it)."""
        with self._lock:
            found = self._by_key.get(key) if key else None
            if found is None and key and (result := kept()) is not None:
                return result, False
            is_new = found is None
            shared = found or SharedRun(self._new_control())
            if key and is_new:
                self._by_key[key] = shared
            shared.visitors += 1
            return shared, is_new

    def stop(self, shared: SharedRun, side: SideName) -> bool:
        """Stop a side for good; False where others look on, who still want it."""
        with self._lock:
            if shared.visitors > 1:
                return False
            self._drop(shared)
        shared.control.stop(side)
        return True

    def leave(self, shared: SharedRun) -> bool:
        """A visitor looks on no more; the last one ends it. Returns whether this was the last."""
        with self._lock:
            shared.visitors -= 1
            is_last = shared.visitors == 0
            if is_last:
                self._drop(shared)
        if is_last:
            shared.control.stop_all()
        return is_last

    def finish(self, shared: SharedRun) -> None:
        """It is over: who asks now asks anew, or finds what is kept."""
        with self._lock:
            self._drop(shared)

    def _drop(self, shared: SharedRun) -> None:
        for key in [key for key, each in self._by_key.items() if each is shared]:
            del self._by_key[key]
