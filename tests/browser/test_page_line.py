"""More visitors than places, on the live page: who waits sees it, who finds none is told, who leaves makes place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import tiny, ui_server
from tests.browser.demo_page import ask, new_page, newest, tokens_of, wait_for
from tests.fake_server import FakeServer, client_of, engine_of, event, streamed
from tests.ui_server import GRADIO_WARNS
from urial.engines.pair import PairEngines
from urial.engines.server.client import Limits

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("slowly"), *GRADIO_WARNS]


@pytest.fixture(scope="module")
def narrow() -> Iterator[ui_server.Live]:
    """One comparison at a time, and one visitor who may wait."""
    with ui_server.live(ui_server.tiny_service(), parallel=1, queue_size=1) as found:
        yield found


@pytest.fixture
def come(chromium: Browser) -> Iterator[object]:
    """Opens pages of visitors, and closes those that are left."""
    pages: list[Page] = []

    def open_page(url: str, tokens: int = 24) -> Page:
        pages.append(new_page(chromium, url, tokens))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def expect_place(page: Page) -> None:
    """The page shows where in the queue its visitor is, not cut off by anything."""
    place = page.locator("#queue-line .progress-text")
    expect(place).to_contain_text("queue")
    expect(place).to_be_in_viewport(ratio=1)


def test_a_full_queue_is_one_sentence_and_leaves_no_trace(narrow: ui_server.Live, come) -> None:
    first, second, third = (come(narrow.url, tokens) for tokens in (1024, 16, 16))
    ask(first, "running")
    wait_for(first, "running")
    ask(second, "waiting")
    expect_place(second)
    ask(third, "one too many")
    expect(newest(third).locator(".notice")).to_have_text(
        "There is no free place right now: as many visitors wait as may. Try again in a minute."
    )
    wait_for(third, "failed")
    expect(third.locator(".toast-body")).to_have_count(0)
    expect(third.locator("#query textarea")).to_have_value("one too many")
    first.get_by_role("button", name="Stop both").click()
    wait_for(second, "done")
    third.locator("#go").click()
    wait_for(third, "done")


def test_a_continuation_that_finds_no_place_says_so(narrow: ui_server.Live, come) -> None:
    first, second, third = (come(narrow.url, tokens) for tokens in (1024, 16, 16))
    ask(third, "go on later")
    wait_for(third, "done")
    ask(first, "running again")
    wait_for(first, "running")
    ask(second, "waiting again")
    expect_place(second)
    tokens_of(third).nth(3).click()
    third.get_by_role("button", name="Let the base continue from here").click()
    expect(third.get_by_role("region", name="The base continues")).to_contain_text("There is no free place right now")


def test_a_visitor_who_leaves_makes_place_for_the_next(narrow: ui_server.Live, come) -> None:
    first, second = come(narrow.url, 1024), come(narrow.url)
    ask(first, "I shall not wait for this")
    wait_for(first, "running")
    ask(second, "me next")
    wait_for(second, "waiting")
    first.close()
    wait_for(second, "done")
    assert narrow.service.runs.running() == 0


def test_a_new_question_in_place_of_a_running_one_waits_for_its_turn(narrow: ui_server.Live, come) -> None:
    """The end of the stopped stream is no word about the one that waits."""
    page = come(narrow.url, 1024)
    ask(page, "dropped")
    wait_for(page, "running")
    ask(page, "kept")
    expect(newest(page).locator(".turn-query")).to_have_text("kept")
    wait_for(page, "running")
    expect(newest(page).locator(".notice")).to_be_hidden()
    page.get_by_role("button", name="Stop both").click()
    wait_for(page, "done")


def one_at_a_time(gate: threading.Event) -> PairEngines:
    """Models behind a server that answers one request at once; the first answer ends when the gate opens."""

    async def slow():
        yield event(token_ids=[40], text="a")
        while not gate.is_set():
            await asyncio.sleep(0.02)
        yield event(token_ids=[41], text="b", finish_reason="stop")

    local = tiny.pair()
    server = FakeServer({"base": local.base, "aligned": local.aligned})
    client = client_of(server.transport(), limits=Limits(generating=1))
    sides = [engine_of(client, name) for name in ("base", "aligned")]
    server.overrides.append(lambda request: streamed(slow()))  # now that the engines have asked what they want to know
    return PairEngines(local.info, *sides, local.vocabulary)


def test_a_place_in_line_at_a_model_server_is_shown(come) -> None:
    gate = threading.Event()
    with ui_server.live(ui_server.tiny_service(lambda pair, progress: one_at_a_time(gate))) as demo:
        page = come(demo.url)
        ask(page, "who is first?")
        expect(newest(page).locator(".turn-status")).to_contain_text("answer waits for the server: next in line.")
        gate.set()
        wait_for(page, "done")
        expect(newest(page).locator(".turn-status")).to_have_text("")
        page.close()
