"""One streamed answer, from the loop of the connections to the thread that reads it, piece by piece.

Knows when an answer begins, ends and fails; nothing about how a piece is made from a server's words.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any

from urial.engines.base import Piece
from urial.engines.server import failures
from urial.engines.server.admission import Ticket
from urial.engines.server.client import ServerClient
from urial.engines.server.event_loop import background
from urial.engines.server.pieces import PieceReader
from urial.engines.server.protocol import first_choice
from urial.errors import EngineError, UrialError

log = logging.getLogger(__name__)


class Answer(Iterator[Piece]):
    """Pieces of an answer; begins at once, waits in line where the server is busy. Closing it ends the request."""

    def __init__(self, client: ServerClient, body: Mapping[str, Any], reader: PieceReader) -> None:
        self._client = client
        self._body = body
        self._reader = reader
        self._ticket = Ticket()
        self._arrived: queue.SimpleQueue[Piece | UrialError | None] = queue.SimpleQueue()
        self._listener: threading.Event | None = None
        self._work = background().start(self._fetch())

    @property
    def position(self) -> int:
        """0 once the server is at work, else the number in line."""
        return self._ticket.position

    def is_ready(self) -> bool:
        """Whether the next step returns at once."""
        return not self._arrived.empty()

    def __next__(self) -> Piece:
        """The next token; waits for it. Raises EngineError or SettingsError where the answer failed."""
        found = self._arrived.get()
        if isinstance(found, Piece):
            return found
        self._arrived.put(found)  # the end stays the end
        if found is None:
            raise StopIteration
        raise found

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever there may be something to read."""
        self._listener = listener
        listener.set()

    def _put(self, item: Piece | UrialError | None) -> None:
        self._arrived.put(item)
        if self._listener is not None:
            self._listener.set()

    def close(self) -> None:
        """Stop: the connection is closed, at which a server ends its work."""
        self._work.cancel()
        self._arrived.put(None)

    async def _fetch(self) -> None:
        """Runs on the loop: whatever happens, who waits for pieces is told."""
        end: UrialError | None = EngineError("The answer was interrupted; what was written is kept, try again.")
        try:
            await self._read()
            end = None
        except failures.Malformed as error:
            end = failures.missing(self._client.address, str(error))
        except UrialError as error:
            end = error
        except Exception:
            log.exception("reading an answer failed")
            raise
        finally:
            for piece in self._reader.held():
                self._put(piece)
            self._put(end)

    async def _read(self) -> None:
        """Raises EngineError where the reply ends and the answer does not."""
        async with aclosing(self._client.stream(self._body, self._ticket)) as events:
            async for event in events:
                choice = first_choice(event)
                for piece in self._reader.pieces(choice) if choice is not None else ():
                    self._put(piece)
                if self._reader.trouble is not None:
                    raise failures.gave_up(self._client.address, *self._reader.trouble)
                if self._reader.has_ended:
                    return
        raise failures.unfinished(self._client.address)
