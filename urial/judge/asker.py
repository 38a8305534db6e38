"""Asks a judge: answers from replies that were paid before, else from the server; retries an unreadable one once."""

from __future__ import annotations

import asyncio
from typing import Any

from urial.judge.budget import Budget
from urial.judge.client import ChatClient, Reply, schema_wish
from urial.judge.prompts import Call, about_tokens, ask_again, messages_of, new_mark
from urial.judge.replies import Unparsed
from urial.judge.store import Store, key_of

ROLE_TOKENS = 16  # what a chat template adds to each message, generously


def call_key(client: ChatClient, call: Call, attempt: int = 0) -> str:
    """What decides a reply: judge, rubric version, words, material; not the random mark."""
    return key_of(client.address.url, client.model, call.identity, call.task, call.closing, call.parts, attempt)


class Asker:
    """Gives the checked reply to a call, or None where two replies could not be read.

    Two questions at once may hold the same call (an aligned answer is the same under every method): it is made once.
    """

    def __init__(self, client: ChatClient, store: Store, budget: Budget, at_once: int) -> None:
        self._client, self._store, self._budget = client, store, budget
        self._places = asyncio.Semaphore(at_once)
        self._running: dict[str, asyncio.Lock] = {}

    async def __call__(self, call: Call) -> dict[str, Any] | None:
        """Raises EngineError where the server gives no reply, SettingsError where it never will, CeilingReached."""
        async with self._running.setdefault(call_key(self._client, call), asyncio.Lock()):
            first = await self._reply(call, 0, None)
            try:
                return call.shape.read(first["reply"])
            except Unparsed as error:
                second = await self._reply(call, 1, (first, self._problem(first, error)))
            try:
                return call.shape.read(second["reply"])
            except Unparsed:
                return None

    async def _reply(self, call: Call, attempt: int, before: tuple[dict[str, Any], str] | None) -> dict[str, Any]:
        """The stored line of a reply, paid now or earlier."""
        key = call_key(self._client, call, attempt)
        if key in self._store.replies:
            return self._store.replies[key]
        mark = before[0]["mark"] if before else new_mark(text for _, text in call.parts)
        messages = messages_of(call, mark)
        if before:
            messages = ask_again(messages, before[0]["reply"], before[1])
        reply = await self._paid(call, messages)
        line = {"key": key, "rubric": call.identity, "mark": mark, "reply": reply.text, "tokens": reply.tokens}
        self._store.keep_reply({**line, "is_cut": reply.is_cut})
        return self._store.replies[key]

    async def _paid(self, call: Call, messages: list[dict[str, str]]) -> Reply:
        sent = sum(about_tokens(message["content"]) + ROLE_TOKENS for message in messages)
        most = sent + self._client.max_tokens
        async with self._places:
            await self._budget.reserve(most)
            try:
                reply = await self._client.chat(messages, schema_wish(call.shape.schema))
            except BaseException:
                await self._budget.release(most)
                raise
        await self._budget.settle(most, reply.tokens, sent + about_tokens(reply.text))
        return reply

    def _problem(self, line: dict[str, Any], error: Unparsed) -> str:
        if line.get("is_cut"):
            return f"The reply was cut off at {self._client.max_tokens} tokens; be shorter."
        return str(error)
