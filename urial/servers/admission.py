"""Places at a server: so many requests at once, the others wait in line, each knowing its number.

Lives on one event loop; a ticket's number may be read from any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from urial.errors import EngineError


class QueuePosition:
    """One request's number in line: 0 once it has a place, 1 for the next one."""

    def __init__(self) -> None:
        self.position = 0


class AdmissionQueue:
    """First come, first served. A line that is too long is refused at once instead of growing without end."""

    def __init__(self, places: int, longest_line: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._longest_line = longest_line
        self._line: list[QueuePosition] = []

    @property
    def waiting(self) -> int:
        return len(self._line)

    @asynccontextmanager
    async def place(self, ticket: QueuePosition) -> AsyncIterator[None]:
        """Hold a place. Raises EngineError where the line is full."""
        if self._places.locked():
            await self._wait_in_line(ticket)
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _wait_in_line(self, ticket: QueuePosition) -> None:
        if len(self._line) >= self._longest_line:
            raise EngineError(f"{len(self._line)} requests are waiting already; try again in a minute.")
        self._line.append(ticket)
        self._number()
        try:
            await self._places.acquire()
            ticket.position = 0
        finally:
            self._line.remove(ticket)
            self._number()

    def _number(self) -> None:
        for number, ticket in enumerate(self._line, start=1):
            ticket.position = number
