"""A server without a network: replies in vLLM's shapes, the numbers from a real tiny model.

The shapes were recorded from vLLM 0.32 (keys that nothing reads are left out).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import cache
from typing import Any

import httpx
import torch

from tests.support import tiny
from urial.engines.base import Sampling
from urial.engines.local.engine import LocalEngine
from urial.engines.server import ServerEngine
from urial.engines.server.probe import probe
from urial.pairs import ServerSpec
from urial.servers.address import Address
from urial.servers.client import Limits, ServerClient
from urial.servers.event_loop import background
from urial.servers.retry import Timeouts

URL = "http://fake/v1"
PATIENT = Timeouts(first=100, stall=100, whole=100, away=1.0, first_pause=0.01, longest_pause=0.03)
QUICK = Timeouts(first=0.6, stall=0.4, whole=1.5, away=0.4, first_pause=0.01, longest_pause=0.03)
Handler = Callable[[httpx.Request], Any]


class ByteStream(httpx.AsyncByteStream):
    """A body in the chunks that are given."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk


def streamed(chunks: AsyncIterator[bytes] | Iterable[bytes]) -> httpx.Response:
    """A streamed answer of status 200."""
    return httpx.Response(200, stream=ByteStream(chunks if hasattr(chunks, "__aiter__") else in_turn(chunks)))


async def in_turn(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)  # others have their turn


def event(**choice: Any) -> bytes:
    """One event of a stream, as vLLM writes it."""
    filled = {"index": 0, "text": "", "logprobs": None, "finish_reason": None, "stop_reason": None} | choice
    return f"data: {json.dumps({'object': 'text_completion', 'choices': [filled]})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


class FakeServer:
    """Serves tiny models by name. `overrides` answer first, one for each request to /completions, then are used up.

    `told`: "ids", "rows" and "ranks" of prompts, "own" for the rows of what is written in vLLM's shape, "content" for
    ids and rows of what is written in the shape of llama.cpp's server.
    """

    def __init__(self, models: Mapping[str, LocalEngine], *, told: Iterable[str] = ("ids", "rows", "ranks")) -> None:
        self.models = models
        self.told = frozenset(told)
        self.overrides: list[Handler] = []
        self.seen: list[httpx.Request] = []
        self.bodies: list[dict[str, Any]] = []

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json=self.listed())
        self.bodies.append(json.loads(request.content))
        if self.overrides:
            return await called(self.overrides.pop(0), request)
        body = self.bodies[-1]
        if body.get("stream"):
            return streamed(await asyncio.to_thread(self.written, body))
        reply = await asyncio.to_thread(self.scored, body)
        return httpx.Response(200, content=json.dumps(reply))  # NaN and all, as some servers write it

    def listed(self) -> dict[str, Any]:
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "parent": None, "max_model_len": 2048} for name in self.models],
        }

    def written(self, body: dict[str, Any]) -> list[bytes]:
        """A greedy answer, one event for each token."""
        sampling = Sampling(
            max_new_tokens=body["max_tokens"],
            temperature=body["temperature"],
            repetition_penalty=body["repetition_penalty"],
        )
        pieces = list(self.models[body["model"]].generate(body["prompt"], sampling))
        rows = self.log_probabilities(body, [piece.id for piece in pieces])
        events = []
        for piece, row in zip(pieces, rows, strict=True):
            finish = ("stop" if piece.is_end else "length") if piece is pieces[-1] else None
            events.append(event(text=piece.text, finish_reason=finish, **self.told_of(body, piece.id, row)))
        return [*events, DONE]

    def log_probabilities(self, body: dict[str, Any], ids: list[int]) -> torch.Tensor:
        """[len(ids), V]: what the model held of each place when it wrote `ids`."""
        rows = self.models[body["model"]].open_score(body["prompt"], len(ids)).extend(ids)
        return rows.chunk(0, len(ids)).log_softmax(-1)

    def told_of(self, body: dict[str, Any], token_id: int, row: torch.Tensor) -> dict[str, Any]:
        """What is told of one token that was written."""
        ids = {"token_ids": [token_id]} if "ids" in self.told and body.get("return_token_ids") else {}
        count = body.get("logprobs") or 0
        listed = [(int(i), float(row[i])) for i in row.topk(count).indices]
        if "own" in self.told and count:
            return {**ids, "logprobs": named(body, listed, token_id, float(row[token_id]))}
        if "content" in self.told and count:
            top = [{"id": i, "token": "?", "logprob": value} for i, value in listed]
            return {"logprobs": {"content": [{"id": token_id, "logprob": float(row[token_id]), "top_logprobs": top}]}}
        return ids

    def scored(self, body: dict[str, Any]) -> dict[str, Any]:
        """One token, and what is told of the prompt."""
        choice: dict[str, Any] = {"index": 0, "text": "x", "finish_reason": "length"}
        choice |= self.told_of(body, 7, self.log_probabilities(body, [7])[0])
        if "rows" in self.told and body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = self.prompt_logprobs(body)
        return {"object": "text_completion", "choices": [choice]}

    def prompt_logprobs(self, body: dict[str, Any]) -> list[dict[str, Any] | None]:
        ids, top = body["prompt"], body["prompt_logprobs"]
        session = self.models[body["model"]].open_score(ids[:1], len(ids))
        logits = session.extend(ids[1:]).chunk(0, len(ids) - 1)
        ranks = (logits >= logits.gather(1, torch.tensor(ids[1:])[:, None])).sum(1).tolist()
        best, told = logits.topk(top).indices.tolist(), logits.log_softmax(-1)
        listed = [{i: n for n, i in enumerate(first, 1)} for first in best]
        return [None, *(self.entry(*row) for row in zip(told, listed, ids[1:], ranks, strict=True))]

    def entry(self, told: torch.Tensor, listed: dict[int, int], token_id: int, rank: int) -> dict[str, Any]:
        """vLLM's dictionary: the most probable tokens and the prompt's own, each with its rank."""
        listed[token_id] = rank
        ranks = {i: {"rank": rank} if "ranks" in self.told else {} for i, rank in listed.items()}
        values = zip(listed, told[list(listed)].tolist(), strict=True)
        return {str(i): {"logprob": value, "decoded_token": word(i), **ranks[i]} for i, value in values}


@cache
def word(token_id: int) -> str:
    return tiny.tokenizer().decode([token_id])


def named(body: dict[str, Any], listed: list[tuple[int, float]], token_id: int, own: float) -> dict[str, Any]:
    """vLLM's columns; tokens go by their text unless their ids are asked for."""

    def name(i: int) -> str:
        return f"token_id:{i}" if body.get("return_tokens_as_token_ids") else word(i)

    top = {name(i): value for i, value in [*listed, (token_id, own)]}
    return {"tokens": [name(token_id)], "token_logprobs": [own], "top_logprobs": [top], "text_offset": [0]}


async def called(handler: Handler, request: httpx.Request) -> httpx.Response:
    found = handler(request)
    return await found if hasattr(found, "__await__") else found


def client_of(
    transport: httpx.AsyncBaseTransport, *, patience: Timeouts = PATIENT, limits: Limits | None = None, **spec: Any
) -> ServerClient:
    address = Address(ServerSpec(**{"base_url": URL, "model": "any", **spec}))
    return ServerClient(address, patience=patience, limits=limits, transport=transport)


def engine_of(client: ServerClient, model: str = "base") -> ServerEngine:
    """Probed, as at a start."""
    abilities = background().wait(probe(client, model, tiny.tokenizer()))
    return ServerEngine(client, model, abilities, tiny.tokenizer(), frozenset({1, 3}))
