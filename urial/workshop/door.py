"""Who is let in: a code tried, counted where it is a guess, and right or wrong."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from urial.workshop import rooms
from urial.workshop.database import Database
from urial.workshop.guard import Guard
from urial.workshop.refusals import Refused


@dataclass(slots=True)
class Door:
    """One try at a time: a class that joins at once from one address must not look like twenty guesses in flight."""

    database: Database
    guard: Guard
    clock: rooms.Clock
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, address: str, code: str, token: str, nickname: object, entry: str) -> None:
        """Let a student in. Raises Refused: 429 after too many guesses, 404 for a wrong code, and as `rooms.join`."""
        with self._lock:
            is_guess = not rooms.is_member(self.database, code, token) and not rooms.fits(self.database, code, entry)
            if is_guess:
                self.guard.count(address)
            try:
                rooms.join(self.database, code, token, nickname, self.clock)
            except Refused as refused:
                if is_guess and refused.status != 404:
                    self.guard.forgive(address)
                raise
            if is_guess:
                self.guard.forgive(address)
