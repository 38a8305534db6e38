"""Scoring over HTTP: the server reads context and answer together and tells each position's most probable tokens.

A server keeps nothing between two requests for prompt log-probabilities, so
every call reads the context anew: callers score in few, growing pieces (see `Capabilities.rereads_context`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from urial.engines.base import FIRST_REREAD, ToldRow
from urial.engines.server.logprobs import read_rows
from urial.engines.server.protocol import LogprobSupport, only_choice, scoring_body
from urial.servers import failures
from urial.servers.client import ServerClient
from urial.servers.event_loop import background


class RequestedRows:
    """Rows that are on their way: several may be asked for before the first is waited for."""

    def __init__(self, work: Future[list[ToldRow]], count: int) -> None:
        self._work = work
        self._count = count

    def __len__(self) -> int:
        return self._count

    def is_ready(self) -> bool:
        return self._work.done()

    def rows(self) -> list[ToldRow]:
        """One row for each answer token; waits for them. Raises EngineError or SettingsError."""
        return self._work.result()


class ServerScoreSession:
    """Teacher forcing over a growing answer."""

    chunk = FIRST_REREAD

    def __init__(self, client: ServerClient, model: str, telling: LogprobSupport, context_ids: Sequence[int]) -> None:
        self._client = client
        self._model = model
        self._telling = telling
        self._ids = list(context_ids)

    def extend(self, answer_ids: Sequence[int]) -> RequestedRows:
        """Ask for the rows that predict `answer_ids`, which follow what was given before."""
        start = len(self._ids)
        self._ids += answer_ids
        return RequestedRows(background().start(self._ask(list(self._ids), start)), len(answer_ids))

    def close(self) -> None:
        """Nothing to give back: what is under way ends by itself."""

    async def _ask(self, ids: list[int], start: int) -> list[ToldRow]:
        reply = await self._client.ask(scoring_body(self._model, ids, self._telling))
        with failures.naming_what_is_missing(self._client.address):
            return read_rows(only_choice(reply), ids, start, self._telling.top)
