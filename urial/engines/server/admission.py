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
        self._free = places
        self._longest_line = longest_line
        self._line: list[tuple[QueuePosition, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        return len(self._line)

    @asynccontextmanager
    async def place(self, ticket: QueuePosition) -> AsyncIterator[None]:
        """Hold a place. Raises EngineError where the line is full."""
        await self._enter(ticket)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, ticket: QueuePosition) -> None:
        if self._free > 0:
            self._free -= 1
            return
        if len(self._line) >= self._longest_line:
            raise EngineError(f"{len(self._line)} requests are waiting already; try again in a minute.")
        turn = asyncio.get_running_loop().create_future()
        self._line.append((ticket, turn))
        self._number()
        try:
            await turn
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        """Step out of the line; a place that was handed over in the same moment goes to the next."""
        if turn.cancelled():
            self._line = [waiting for waiting in self._line if waiting[1] is not turn]
            self._number()
        else:
            self._leave()

    def _leave(self) -> None:
        """Hand the place to the next in line who still wants it."""
        while self._line:
            ticket, turn = self._line.pop(0)
            if not turn.done():
                ticket.position = 0
                turn.set_result(None)
                self._number()
                return
        self._free += 1

    def _number(self) -> None:
        for index, (ticket, _) in enumerate(self._line):
            ticket.position = index + 1
