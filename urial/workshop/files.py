"""The class's own pages, scripts and texts as responses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from starlette.responses import Response

from urial.workshop.refusals import Refused
from urial.workshop.texts import FOLDER as LANGUAGES

PAGES = Path(__file__).parent / "pages"
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-cache"}


def page(name: str) -> Response:
    return whole(PAGES / name, {"content-security-policy": POLICY})


def asset(name: str) -> Response:
    return whole(PAGES / name if Path(name).suffix in (".js", ".css") else None, {})


def language_file(name: str) -> Response:
    return whole(LANGUAGES / name if Path(name).suffix == ".json" else None, {})


def whole(path: Path | None, more: dict[str, str]) -> Response:
    """The file, if it is one of those that lie there. Raises Refused (404)."""
    if path is None or path.name not in present(path.parent):
        raise Refused("page", 404)
    return Response(path.read_bytes(), media_type=f"{KINDS[path.suffix]}; charset=utf-8", headers={**HEADERS, **more})


@cache
def present(folder: Path) -> frozenset[str]:
    return frozenset(each.name for each in folder.iterdir())
