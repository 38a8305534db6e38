"""The live page over tiny random models, in Chromium: one server a module, a fresh page a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

if TYPE_CHECKING:  # the report's tests share this folder and need no server
    from tests.support import ui_server

PATIENCE = 45_000  # milliseconds: a busy machine is no failure, and a test still ends before its own limit

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ui_server.Live]:
    from tests.support import ui_server

    gallery = ui_server.write_gallery(tmp_path_factory.mktemp("gallery"))
    with ui_server.live(ui_server.tiny_service(), gallery=gallery) as found:
        yield found


@pytest.fixture
def visit(chromium: Browser, demo: ui_server.Live) -> Iterator[Visit]:
    """Opens the page; errors of its scripts fail the test."""
    contexts = []
    problems: list[str] = []

    def open_page(path: str = "/", **options: object) -> Page:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, "base_url": demo.url, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.goto(path, timeout=PATIENCE)
        # The tab's own button, for an address that opens another tab than the first.
        shown = page.locator("#open-saved, #tab-gallery, #tab-corpus").filter(visible=True)
        expect(shown.first).to_be_visible(timeout=PATIENCE)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


SHORT = "/?method=zero_shot&max_new_tokens={tokens}"


def short(visit: Visit, tokens: int = 24, **options: object) -> Page:
    """A page whose form is set, by a link, to short answers and a short prompt: what is tested here is the page."""
    return settled(visit(SHORT.format(tokens=tokens), **options), tokens)


def new_page(chromium: Browser, url: str, tokens: int = 24) -> Page:
    """Like `short`, of another server."""
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url + SHORT.format(tokens=tokens))
    return settled(page, tokens)


def settled(page: Page, tokens: int) -> Page:
    """Until the link's values are in the form."""
    expect(page.locator("#settings button").first).to_contain_text(f"up to {tokens} tokens", timeout=PATIENCE)
    expect(page.locator("#method input")).to_have_value("Zero-shot", timeout=PATIENCE)
    return page


def set_number(page: Page, label: str, value: str) -> None:
    """Type a number into a setting, again where it did not stay.

    Gradio builds folded settings when they are first shown and writes their values once more a moment later, sooner
    than a person types and not sooner than this does.
    """
    box = page.get_by_label(f"number input for {label}")
    for _ in range(10):
        box.fill(value)
        box.blur()
        page.wait_for_timeout(500)
        if box.input_value() == value:
            return
    raise AssertionError(f"{label} stays {box.input_value()} where {value} was typed.")


def unfold_form(page: Page) -> None:
    """On a phone the form folds to one line once a question is asked."""
    if page.locator("#form-fold").is_visible():
        page.locator("#form-fold").click()


def ask(page: Page, text: str) -> None:
    unfold_form(page)
    page.locator("#query textarea").fill(text)
    page.locator("#query textarea").press("Enter")


def tokens_of(page: Page) -> Locator:
    """The tokens of the live view's first pane in sight."""
    return page.locator('.live [role="listbox"]:visible').first.locator("[role=option]")


def newest(page: Page) -> Locator:
    return page.locator(".turn").last


def wait_for(page: Page, state: str) -> None:
    """Until the newest turn is in a state: waiting, running, done, failed."""
    expect(newest(page)).to_have_attribute("data-state", state, timeout=PATIENCE)


def answered(page: Page, text: str) -> Page:
    ask(page, text)
    expect(newest(page).locator(".turn-query")).to_have_text(text)
    wait_for(page, "done")
    return page


def column(page: Page, name: str) -> Locator:
    """One side of the live view, "Base" or "Aligned"."""
    return page.locator(".live").get_by_role("region", name=f"{name} answer")


def once_more(page: Page, side: str) -> None:
    """Press Again on a side and wait for its result."""
    before = newest(page).get_attribute("data-result")
    column(page, side).get_by_role("button", name="Again").click()
    expect(newest(page)).not_to_have_attribute("data-result", before, timeout=PATIENCE)
    wait_for(page, "done")
