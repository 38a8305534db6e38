"""Requests to one server: one pool of connections, a queue before it, time limits, and tries that are repeated safely.

Everything here runs on one loop. `admission.py` is the queue, `retry.py` the limits and the tries, `failures.py` what
is raised, `event_stream.py` the format of a stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from urial.servers import failures
from urial.servers.address import Address
from urial.servers.admission import AdmissionQueue, QueuePosition
from urial.servers.event_stream import data_fields
from urial.servers.lenient_json import parse
from urial.servers.retry import Retries, Timeouts

DONE = "[DONE]"
Body = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests a server gets at once. Scoring is heavy (logits of a whole prompt), so it has few places."""

    generating: int = 64
    scoring: int = 4
    line: int = 512


class ServerClient:
    """All requests of this process to one server."""

    def __init__(
        self,
        address: Address,
        *,
        limits: Limits | None = None,
        patience: Timeouts | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        limits = limits or Limits()
        self.address = address
        self.generating = AdmissionQueue(limits.generating, limits.line)
        self.scoring = AdmissionQueue(limits.scoring, limits.line)
        self._patience = patience or Timeouts()
        self.http = httpx.AsyncClient(
            headers=address.headers(),
            timeout=httpx.Timeout(None, connect=self._patience.connect),  # the other limits are kept here
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"ServerClient({self.address.url!r})"

    async def get(self, path: str) -> Any:
        """The JSON at a path; no waiting in line, no repeated tries. Raises EngineError or SettingsError."""
        try:
            return await self._whole("GET", path, None)
        except failures.TransientError as error:
            raise error.final from None

    async def ask(self, body: Body, ticket: QueuePosition | None = None, *, away: float | None = None) -> Any:
        """The JSON answer to a completion request. Raises EngineError or SettingsError."""
        async with self.scoring.place(ticket or QueuePosition()):
            tries = Retries(self._patience, self._patience.away if away is None else away)
            while True:
                try:
                    return self._answered(await self._whole("POST", "/completions", body), has_begun=False)
                except failures.TransientError as error:
                    await tries.pause_or_raise(error)

    async def stream(self, body: Body, ticket: QueuePosition) -> AsyncGenerator[Any, None]:
        """The events of a streamed completion, as JSON. Raises EngineError or SettingsError.

        Until the first event a failed try is repeated; after it, never: its words may be on a screen.
        """
        async with self.generating.place(ticket):
            tries, has_begun = Retries(self._patience, self._patience.away), False
            while True:
                try:
                    async with aclosing(self._events(body)) as events:
                        async for event in events:
                            has_begun = True
                            yield event
                    return
                except failures.TransientError as error:
                    if has_begun:
                        raise failures.broke_off(self.address) from error
                    await tries.pause_or_raise(error)

    async def _whole(self, method: str, path: str, body: Body | None) -> Any:
        """One try of a request that is answered at once. Raises TransientError where another may succeed."""
        try:
            async with asyncio.timeout(self._patience.whole):
                reply = await self.http.request(method, self.address.url + path, json=body)
        except TimeoutError as error:
            raise failures.silent(self.address, self._patience.whole, has_begun=False) from error
        except httpx.TransportError as error:
            raise failures.unreachable(self.address, error) from error
        except httpx.DecodingError as error:
            raise failures.not_json(self.address) from error
        if not reply.is_success:
            raise failures.refused(self.address, reply.status_code, reply.content)
        return self._parsed(reply.content)

    async def _events(self, body: Body) -> AsyncGenerator[Any, None]:
        """One try of a stream, up to the mark of its end. Raises TransientError where another may succeed."""
        limit, has_begun = self._patience.first, False
        deadline = time.monotonic() + limit  # for headers and first word together; then one for each word
        try:
            reply = await self._opened(body)
            async with aclosing(reply), aclosing(data_fields(reply.aiter_bytes())) as fields:
                while (data := await within(deadline - time.monotonic(), anext(fields, None))) != DONE:
                    if data is None:
                        raise failures.cut_short(self.address)
                    yield self._answered(self._parsed(data), has_begun)
                    limit, has_begun = self._patience.stall, True
                    deadline = time.monotonic() + limit
        except TimeoutError as error:
            raise failures.silent(self.address, limit, has_begun) from error
        except httpx.TransportError as error:
            raise failures.unreachable(self.address, error) from error
        except httpx.DecodingError as error:
            raise failures.not_json(self.address) from error

    def _answered(self, found: Any, has_begun: bool) -> Any:
        """Raises EngineError for an error that came in place of an answer, under a status of success."""
        message = failures.error_in(found)
        if message is not None:
            raise failures.reported(self.address, message, has_begun)
        return found

    async def _opened(self, body: Body) -> httpx.Response:
        """The answer up to its headers."""
        request = self.http.build_request("POST", self.address.url + "/completions", json=body)
        reply = await within(self._patience.first, self.http.send(request, stream=True))
        if not reply.is_success:
            async with aclosing(reply):
                content = await within(self._patience.stall, reply.aread())
            raise failures.refused(self.address, reply.status_code, content)
        return reply

    def _parsed(self, data: str | bytes) -> Any:
        try:
            return parse(data)
        except ValueError as error:
            raise failures.not_json(self.address) from error


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Raises TimeoutError; at once where no time is left."""
    async with asyncio.timeout(seconds):
        return await work
