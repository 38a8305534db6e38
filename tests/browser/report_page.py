"""A report opened in Chromium for a test, watched for everything that it must not do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Error, Page, Request, expect

from tests.browser.chromium import PATIENCE
from urial.records import Comparison
from urial.render import report

ANSWER = '[role="listbox"]:visible'
TOKENS = f"{ANSWER} >> [role=option]"

Open = Callable[..., Page]


def ready(page: Page, tokens: int) -> Page:
    expect(page.locator(TOKENS)).to_have_count(tokens)
    return page


def open_more(page: Page) -> Page:
    """Fold out the filters, and in a narrow window the colours."""
    more = page.get_by_role("button", name="More", exact=True).locator("visible=true").first
    if more.get_attribute("aria-expanded") == "false":
        more.click()
    return page


def choose(page: Page, label: str) -> None:
    if label in ("class", "rank", "KL", "gap"):
        open_more(page)
    page.locator(".uv-choice", has_text=re.compile(f"^{label}$")).locator("input").check()


@pytest.fixture(scope="module")
def pages(chromium: Browser) -> Iterator[dict[str, Page]]:
    """One page for each way of looking, kept for all tests: opening a window costs more than most tests."""
    kept: dict[str, Page] = {}
    yield kept
    for page in kept.values():
        page.context.close()


@pytest.fixture
def show(chromium: Browser, pages: dict[str, Page], tmp_path: Path) -> Iterator[Open]:
    """Opens a report in a page that reports every error, dialog and request beyond the file."""
    complaints: list[str] = []
    shown: list[Page] = []
    watch = _watches(complaints)

    def open_report(comparison: Comparison, *, note: str = "", init: str = "", **options: object) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        key = repr((init, sorted(options.items())))
        if key not in pages:
            pages[key] = chromium.new_context(**options).new_page()
            pages[key].add_init_script(init)
            pages[key].set_default_timeout(PATIENCE)
        page = pages[key]
        if page not in shown:
            shown.append(page)
            for event, listener in watch.items():
                page.on(event, listener)
        path = tmp_path / f"report-{len(shown)}.html"
        path.write_text(report.comparison_page(comparison, note), encoding="utf-8")
        page.goto(path.as_uri())
        return page

    yield open_report
    for page in shown:
        for event, listener in watch.items():
            page.remove_listener(event, listener)
    assert complaints == []


@contextmanager
def watched_file(chromium: Browser, usual: Path, ready: str) -> Iterator[Open]:
    """A function that opens a file, `usual` unless told, in a context of its own, until `ready` is there.

    At the end an error, a dialog or a request beyond the file fails the test.
    """
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def open_file(path: Path = usual, fragment: str = "", **options: object) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        for event, listener in _watches(complaints).items():
            page.on(event, listener)
        page.goto(path.as_uri() + fragment)
        page.wait_for_selector(ready)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert complaints == []


def _watches(complaints: list[str]) -> dict[str, Callable[..., None]]:
    def on_dialog(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def on_request(request: Request) -> None:
        if _foreign(request.url):
            complaints.append(f"request: {request.url}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"console: {message.text}")

    def on_error(error: Error) -> None:
        complaints.append(f"error: {error}")

    return {"dialog": on_dialog, "request": on_request, "console": on_console, "pageerror": on_error}


def _foreign(url: str) -> bool:
    return not url.startswith(("file:", "blob:", "data:"))
