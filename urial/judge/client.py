"""One model at one address: a chat call, and what to do when the server is slow, full or broken.

A server that refuses what it is asked beyond the plain call (400 or 422), such as a schema, gets the plain call from
then on. 429 waits as long as the server
says; failures that may pass are tried again, a reply that does not come is given up in time.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic_core import from_json

from urial.errors import EngineError, SettingsError
from urial.servers import failures
from urial.servers.address import Address
from urial.servers.failures import TransientError

REFUSED_FORM = (400, 422)
LARGEST_REPLY = 4_000_000  # bytes; a verdict has a few thousand


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds: to connect, for a whole reply, the longest pause that a server may ask for; and how many tries."""

    connect: float = 10.0
    whole: float = 180.0
    longest_pause: float = 120.0
    first_pause: float = 1.0
    tries: int = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and the tokens it cost where the server tells them."""

    text: str
    tokens: int | None
    is_cut: bool
    logprobs: list[dict[str, Any]] | None = None


class ChatClient:
    """Chat completions of one model. Use as `async with`."""

    def __init__(
        self,
        address: Address,
        model: str,
        *,
        max_tokens: int = 1024,
        waits: Waits | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address, self.model, self.max_tokens = address, model, max_tokens
        self._waits = waits or Waits()
        self._takes_wishes = True
        timeout = httpx.Timeout(None, connect=self._waits.connect)
        self._http = httpx.AsyncClient(headers=address.headers(), timeout=timeout, transport=transport)

    @property
    def host(self) -> str:
        """Where texts go."""
        return urlsplit(self.address.url).netloc

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def chat(self, messages: list[dict[str, str]], wishes: dict[str, Any] | None = None) -> Reply:
        """The reply to some messages, greedy. Raises EngineError (give up this one) or SettingsError (stop).

        wishes: keys of the request that not every server knows; where it refuses them they are left out.
        """
        pause = self._waits.first_pause
        for left in range(self._waits.tries - 1, -1, -1):
            try:
                return await self._try(messages, wishes or {})
            except TransientError as failure:
                wanted = pause * random.uniform(0.5, 1.5) if failure.pause is None else failure.pause
                if not left or wanted > self._waits.longest_pause:
                    raise failure.final from None
                await asyncio.sleep(wanted)
                pause *= 2
        raise AssertionError("the last try returns or raises")

    async def _try(self, messages: list[dict[str, str]], wishes: dict[str, Any]) -> Reply:
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": self.max_tokens}
        given = wishes if self._takes_wishes else {}
        reply = await self._sent({**body, **given})
        if given and reply.status_code in REFUSED_FORM:
            self._takes_wishes = False
            return await self._try(messages, wishes)
        self._check(reply)
        return self._read(reply.content)

    async def _sent(self, body: dict[str, Any]) -> httpx.Response:
        """The whole reply, in time and of a bounded size."""
        try:
            async with asyncio.timeout(self._waits.whole):
                request = self._http.build_request("POST", f"{self.address.url}/chat/completions", json=body)
                reply = await self._http.send(request, stream=True)
                try:
                    content = b""
                    async for chunk in reply.aiter_bytes():
                        content += chunk
                        if len(content) > LARGEST_REPLY:
                            raise self._no_completion()
                finally:
                    await reply.aclose()
        except TimeoutError:
            raise TransientError(failures.silent(self.address, self._waits.whole, has_begun=False)) from None
        except httpx.TransportError as error:
            raise TransientError(self._unreachable(error)) from error
        except httpx.DecodingError as error:
            raise TransientError(self._no_completion()) from error
        kept = {"retry-after": reply.headers.get("retry-after", "")}  # no encoding: the content is decoded
        return httpx.Response(reply.status_code, headers=kept, content=content)

    def _check(self, reply: httpx.Response) -> None:
        """Raises for every status but success, TransientError where it may pass."""
        status, url = reply.status_code, self.address.url
        if reply.is_success:
            return
        if status in (401, 403):
            raise SettingsError(f"The judge {url} refuses the key ({status}); {self._key_advice()}.")
        if status == 404:
            raise SettingsError(f"The judge {url} does not have {self.model!r} (404); correct --judge or --model.")
        words = failures.said(self.address, reply.content)
        if status == 429:
            pause = retry_after(reply.headers.get("retry-after", ""))
            wait = f"{pause:.0f} s" if pause else "a while"
            full = EngineError(f"The judge {url} has too many requests (429); try again in {wait}.")
            raise TransientError(full, pause=pause)
        if status >= 500 or status in (408, 409, 425):
            failed = EngineError(f"The judge {url} failed ({status}{words}); look into its log, then run it again.")
            raise TransientError(failed, pause=retry_after(reply.headers.get("retry-after", "")))
        raise EngineError(f"The judge {url} refused a question ({status}{words}).")

    def _key_advice(self) -> str:
        variable = self.address.key_variable
        return f"put a valid one into {variable}" if variable else "name its environment variable with --key-env"

    def _unreachable(self, error: httpx.TransportError) -> EngineError:
        kind = type(error).__name__
        return EngineError(f"The judge {self.address.url} cannot be reached ({kind}); start it, or correct --judge.")

    def _no_completion(self) -> EngineError:
        return EngineError(
            f"The judge {self.address.url} answered with something that is no chat completion; check that --judge "
            "leads to an OpenAI-compatible server (it usually ends in /v1)."
        )

    def _read(self, content: bytes) -> Reply:
        """Raises TransientError for what is no chat completion: a proxy's page may be gone at the next try."""
        try:
            data = from_json(content)
            choice = data["choices"][0]
            text = choice["message"].get("content") or ""
            usage = data.get("usage") or {}
            tokens = usage.get("total_tokens")
            told = (choice.get("logprobs") or {}).get("content")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise TransientError(self._no_completion()) from error
        if not isinstance(text, str):
            raise TransientError(self._no_completion())
        return Reply(
            text=self.address.without_key(text),
            tokens=tokens if isinstance(tokens, int) and tokens >= 0 else None,
            is_cut=choice.get("finish_reason") == "length",
            logprobs=told if isinstance(told, list) else None,
        )


def schema_wish(schema: dict[str, Any]) -> dict[str, Any]:
    """Asks for JSON of this schema."""
    form = {"name": "verdict", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def retry_after(value: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date; None where it says nothing readable."""
    try:
        return max(float(value), 0.0) if value.strip() and float(value) < float("inf") else None
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None
