"""How things travel between a browser and a class: the student's cookie, JSON bodies, views, files to keep."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from urial.workshop import takehome
from urial.workshop.refusals import Refused

COOKIE = "urial_class"
COOKIE_SECONDS = 2 * 86_400  # a day longer than a room
SMALL, LARGE = 64_000, 20_000_000  # bytes of a body: an answer; a new room with records of the teacher's own


def give_cookie(response: Response, request: Request, token: str) -> None:
    forwarded = request.headers.get("x-forwarded-proto", request.url.scheme)
    response.set_cookie(
        COOKIE,
        token,
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=forwarded.split(",")[0].strip() == "https",
    )


def seen(view: dict[str, Any] | None) -> Response:
    """204 where nothing has changed since the view that the browser has."""
    response = Response(status_code=204) if view is None else JSONResponse(view)
    response.headers["cache-control"] = "no-store"
    return response


def takehome_response(text: str, name: str, is_saved: bool) -> Response:
    shown = Response(text, media_type="text/html; charset=utf-8")
    if is_saved:
        shown.headers["content-disposition"] = f'attachment; filename="{name}"'
    shown.headers["content-security-policy"] = takehome.policy()
    shown.headers["cache-control"] = "no-store"
    return shown


def attached(text: str, kind: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return PlainTextResponse(text, media_type=f"{kind}; charset=utf-8", headers=headers)


async def body(request: Request, most: int = SMALL) -> dict[str, Any]:
    """The JSON object of a request. Raises Refused for anything else; a form of another site cannot send this kind."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused("request", 415)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most:
            raise Refused("too_large", 413)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused("request", 400) from None
    if not isinstance(data, dict):
        raise Refused("request", 400)
    return data
