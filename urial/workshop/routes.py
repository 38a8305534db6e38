"""A class over HTTP: students under `/class/`, the host under `/class/host`, both by polling small JSON views.

All addresses in pages are relative, so that the class works under any path of a proxy. Work with the database runs in
threads of its own, apart from the page's.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import segno
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from urial.errors import UrialError
from urial.workshop import export, names, rooms, stepping, takehome, views
from urial.workshop.database import Database
from urial.workshop.door import Door
from urial.workshop.exchange import COOKIE, LARGE, attached, body, give_cookie, seen, takehome_response
from urial.workshop.files import asset, language_file, page
from urial.workshop.guard import Guard
from urial.workshop.refusals import Refused
from urial.workshop.shelf import Shelf
from urial.workshop.texts import spoken

CODE_TRIES, ROOM_TRIES = 20, 40  # wrong codes a minute, rooms an hour, from one address
RECORD_LOOKS = 600  # an hour, from one address: a record may be large
THREADS = 8

Answer = TypeVar("Answer")
Handler = Callable[["Class", Request], Awaitable[Response]]


@dataclass(slots=True)
class Class:
    """What the routes work with."""

    database: Database
    shelf: Shelf = field(default_factory=Shelf)
    clock: rooms.Clock = time.time
    codes: Guard = field(default_factory=lambda: Guard(CODE_TRIES, 60.0, "tries"))
    looked: Guard = field(default_factory=lambda: Guard(RECORD_LOOKS, 3600.0, "many_records"))
    opened: Guard = field(default_factory=lambda: Guard(ROOM_TRIES, 3600.0, "many_rooms"))
    threads: anyio.CapacityLimiter | None = None
    door: Door = field(init=False)

    def __post_init__(self) -> None:
        self.door = Door(self.database, self.codes, self.clock)

    async def do(self, work: Callable[..., Answer], *given: Any) -> Answer:
        """Some work with the database, in a thread."""
        if self.threads is None:  # made where an event loop runs
            self.threads = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(partial(work, *given), limiter=self.threads)


def class_routes(found: Class) -> list[BaseRoute]:
    """For the application that serves the page."""

    def at(path: str, handler: Handler, method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return await handler(found, request)
            except Refused as refused:
                said = {"error": str(refused), "key": refused.key, "values": refused.values}
                return JSONResponse(said, refused.status)
            except UrialError as error:
                return JSONResponse({"error": str(error)}, 400)

        return Route(f"/class{path}", endpoint, methods=[method])

    inner = [
        at("/", student_page),
        at("/host", host_page),
        at("/assets/{name}", asset_file),
        at("/languages/{name}", texts_file),
        at("/api/join", join, "POST"),
        at("/api/state", state),
        at("/api/answer", answer, "POST"),
        at("/home", home),
        at("/api/shelf", shelf),
        at("/api/words", dial_words, "POST"),
        at("/api/rooms", open_room, "POST"),
        at("/api/host", host_state),
        at("/api/host/step", step, "POST"),
        at("/api/host/delete", delete, "POST"),
        at("/api/host/qr", qr_code, "POST"),
        at("/api/host/export", exports),
    ]
    return [Route("/class", to_class), *inner]  # no Mount: under a proxy's path, its inner routes would not match


def to_class(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"class/{query}")  # relative: a proxy may show the page under a path


# Pages


async def student_page(_: Class, request: Request) -> Response:
    """The student's page; the cookie is given here, so that two tabs are one student."""
    shown = page("student.html")
    if not request.cookies.get(COOKIE):
        give_cookie(shown, request, names.new_secret())
    return shown


async def host_page(_: Class, request: Request) -> Response:
    return page("host.html")


async def asset_file(_: Class, request: Request) -> Response:
    return asset(request.path_params["name"])


async def texts_file(_: Class, request: Request) -> Response:
    return language_file(request.path_params["name"])


# Students


async def join(found: Class, request: Request) -> Response:
    data, token = await body(request), request.cookies.get(COOKIE, "")
    code, entry = names.typed_code(data.get("code")), str(data.get("entry") or "")[:100]
    answered = JSONResponse({"code": code})
    if not token:
        token = names.new_secret()
        give_cookie(answered, request, token)
    await found.do(found.door.admit, address_of(request), code, token, data.get("nickname"), entry)
    return answered


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def state(found: Class, request: Request) -> Response:
    token, asked = request.cookies.get(COOKIE, ""), request.query_params
    code = names.typed_code(asked.get("code", ""))
    return seen(await found.do(views.student, found.database, code, token, asked.get("seen", ""), found.clock))


async def answer(found: Class, request: Request) -> Response:
    data, token = await body(request), request.cookies.get(COOKIE, "")
    given = data.get("answer") if isinstance(data.get("answer"), dict) else {}
    code = names.typed_code(data.get("code"))
    await found.do(rooms.answer, found.database, code, token, data.get("item"), given, found.clock)
    return JSONResponse({"accepted": True})


async def home(found: Class, request: Request) -> Response:
    """A student's own page, to read and to keep."""
    asked = request.query_params
    code = names.typed_code(asked.get("code", ""))
    facts, items = await found.do(views.taken_home, found.database, code, request.cookies.get(COOKIE, ""), found.clock)
    language = spoken(asked.get("lang") or request.headers.get("accept-language", ""))
    text = takehome.student_page(language, facts, items)
    return takehome_response(text, f"urial-class-{code}.html", asked.get("save") == "1")


# The host


def secret(request: Request) -> str:
    """The host's secret travels in a header, never in an address that logs or screens could show."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")[:100]


async def shelf(found: Class, request: Request) -> Response:
    return JSONResponse(await found.do(found.shelf.listed))


async def dial_words(found: Class, request: Request) -> Response:
    """The words of a comparison that a dial can be about."""
    found.looked.count(address_of(request))
    data = await body(request, LARGE)
    return JSONResponse(await found.do(found.shelf.dial_words, data))


async def open_room(found: Class, request: Request) -> Response:
    found.opened.count(address_of(request))
    data = await body(request, LARGE)
    found_items = data.get("items")
    asked: list[Any] = found_items if isinstance(found_items, list) else []

    def work() -> rooms.Opened:
        if len(asked) > rooms.ITEMS:
            raise Refused("items", 400, most=rooms.ITEMS)
        items = [found.shelf.item(each, bool(data.get("aspects"))) for each in asked]
        return rooms.open_room(found.database, data.get("title"), items, found.clock)

    opened = await found.do(work)
    return JSONResponse({"code": opened.code, "host": opened.host, "entry": opened.entry})


async def host_state(found: Class, request: Request) -> Response:
    asked = request.query_params
    code = names.typed_code(asked.get("code", ""))
    return seen(await found.do(views.host, found.database, code, secret(request), asked.get("seen", ""), found.clock))


async def step(found: Class, request: Request) -> Response:
    data = await body(request)
    code = names.typed_code(data.get("code"))
    await found.do(stepping.step, found.database, code, secret(request), data.get("action"), data, found.clock)
    return JSONResponse({"done": True})


async def delete(found: Class, request: Request) -> Response:
    data = await body(request)
    await found.do(stepping.delete, found.database, names.typed_code(data.get("code")), secret(request))
    return JSONResponse({"done": True})


async def qr_code(found: Class, request: Request) -> Response:
    """The QR code of an address that the host's browser knows: behind proxies the server does not."""
    data = await body(request)
    address = str(data.get("address"))
    if not address.startswith(("http://", "https://")) or len(address) > 500:
        raise Refused("address", 400)
    await found.do(views.host, found.database, names.typed_code(data.get("code")), secret(request), "")
    out = io.BytesIO()
    segno.make(address, error="m", micro=False).save(out, kind="svg", scale=8, border=2, xmldecl=False)
    return Response(out.getvalue(), media_type="image/svg+xml")


async def exports(found: Class, request: Request) -> Response:
    """Everything of a room, without names: `form` is json, csv or html."""
    asked = request.query_params
    code, form = names.typed_code(asked.get("code", "")), asked.get("form")
    if form == "html":
        facts, items = await found.do(views.whole_class, found.database, code, secret(request))
        language = spoken(asked.get("lang") or request.headers.get("accept-language", ""))
        return takehome_response(takehome.class_page(language, facts, items), f"urial-class-{code}.html", True)
    document = await found.do(export.one_room, found.database, code, secret(request))
    if form == "csv":
        return attached(export.to_csv(document), "text/csv", f"urial-class-{code}.csv")
    return attached(json.dumps(document, ensure_ascii=False, indent=1), "application/json", f"urial-class-{code}.json")


def workshop_file(path: str | Path) -> Class:
    """A class on the file of `--workshop`. Raises WorkshopError."""
    return Class(rooms.open_store(str(path)))
