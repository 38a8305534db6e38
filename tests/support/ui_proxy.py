"""A small reverse proxy that shows a page under a path, as hosts do: streams pass through it piece by piece."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}


@contextmanager
def proxied(target: str, path: str) -> Iterator[str]:
    """The address under which `target` is shown at `path`."""
    server = uvicorn.Server(uvicorn.Config(make_proxy(target, path), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


def make_proxy(target: str, path: str) -> Starlette:
    client = httpx.AsyncClient(base_url=target, timeout=None)

    async def forward(request: Request) -> StreamingResponse:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        headers |= {"x-forwarded-host": request.headers["host"], "x-forwarded-proto": "http"}
        inside = "/" + request.path_params.get("rest", "")
        asked = client.build_request(
            request.method, inside, params=request.query_params, headers=headers, content=await request.body()
        )
        answer = await client.send(asked, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return StreamingResponse(
            answer.aiter_bytes(), answer.status_code, headers=kept, background=BackgroundTask(answer.aclose)
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    methods = ["GET", "POST", "HEAD"]
    inner = [Route("/{rest:path}", forward, methods=methods)]
    return Starlette(routes=[Mount(path, routes=inner)], lifespan=lifespan)
