"""More visitors than places, on the live page: who waits sees it, who finds none is told, who leaves makes place."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator, Sequence

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_page import ask, column, new_page, newest, tokens_of, wait_for
from tests.support import tiny, ui_server
from tests.support.fake_server import FakeServer, client_of, engine_of, event, streamed
from tests.support.ui_server import GRADIO_WARNS
from urial.engines.local.runner import Chunk
from urial.engines.pair import PairEngines
from urial.servers.client import Limits

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
    """The page shows where in the line its visitor is, not cut off by anything."""
    place = newest(page).locator(".turn-status")
    expect(place).to_have_text(re.compile(r"^You are next(, about \d+ (s|min))?\.$"))
    expect(place).to_be_in_viewport(ratio=1)


def test_a_full_queue_is_one_sentence_and_leaves_no_trace(narrow: ui_server.Live, come) -> None:
    first, second, third = (come(narrow.url, tokens) for tokens in (1024, 16, 16))
    ask(first, "running")
    wait_for(first, "running")
    ask(second, "waiting")
    expect_place(second)
    ask(third, "one too many")
    expect(newest(third).locator("> .notice")).to_have_text(
        "There is no free place right now: as many visitors wait as may. Try again in a minute."
    )
    wait_for(third, "failed")
    expect(third.locator(".toast-body")).to_have_count(0)
    expect(third.locator("#query textarea")).to_have_value("one too many")
    newest(first).locator(".turn-stop").click()
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
    expect(newest(page).locator("> .notice")).to_be_hidden()
    newest(page).locator(".turn-stop").click()
    wait_for(page, "done")


def test_the_line_is_told_in_words_and_as_it_moves(come) -> None:
    with ui_server.live(ui_server.tiny_service(), parallel=1, queue_size=8) as demo:
        first = come(demo.url, 1024)
        others = [come(demo.url) for _ in range(3)]
        ask(first, "it takes its time")
        wait_for(first, "running")
        for number, page in enumerate(others):
            ask(page, f"waiting {number}")
            words = f"{number} before you." if number else "You are next."
            expect(newest(page).locator(".turn-status")).to_have_text(words)
        newest(others[0]).locator(".turn-stop").click()
        expect(newest(others[0]).locator("> .notice")).to_have_text("Stopped before it began.")
        expect(newest(others[1]).locator(".turn-status")).to_have_text("You are next.")
        expect(newest(others[2]).locator(".turn-status")).to_have_text("1 before you.")
        newest(first).locator(".turn-stop").click()
        wait_for(others[1], "done")
        wait_for(others[2], "done")
        for page in (first, *others):
            page.close()


def test_equal_questions_pass_the_line_and_share_one_answer(come) -> None:
    """Whoever joins gets all of it from its start; the first leaves, the other still gets the rest."""
    with ui_server.live(ui_server.tiny_service(), parallel=1, queue_size=1) as demo:
        first, second, third = (come(demo.url, 240) for _ in range(3))
        ask(first, "the same question")
        wait_for(first, "running")
        expect(tokens_of(first).nth(8)).to_be_visible()
        ask(second, "the same question")
        wait_for(second, "running")
        expect(tokens_of(second).nth(8)).to_be_visible()
        ask(third, "the same question")
        wait_for(third, "running")
        first.close()
        column(second, "Base").get_by_role("button", name="Stop").click()
        expect(column(second, "Base").locator(".uv-facts-line")).to_contain_text("stopped by you")
        for page in (second, third):
            wait_for(page, "done")
        expect(column(third, "Base").locator(".uv-facts-line")).to_contain_text("240 tokens")
        texts = [page.locator(".live [role=listbox]:visible").first.inner_text() for page in (second, third)]
        assert texts[0] == texts[1] != ""
        second.close()
        third.close()


def test_a_stop_is_honoured_at_once_while_a_long_question_is_read(come) -> None:
    """The model cannot look up before the gate opens: nobody waits for it."""
    gate, reads = threading.Event(), threading.Event()
    engines = ui_server.new_long_pair()
    engines.base.check()
    runner = engines.base.shared.runner.result()
    forward = runner.forward

    def slow(batch: Sequence[Chunk]) -> Sequence[torch.Tensor]:
        reads.set()
        gate.wait(60)
        return forward(batch)

    runner.forward = slow
    with ui_server.live(ui_server.tiny_service(lambda pair, progress: engines)) as demo:
        page = come(demo.url)
        ask(page, "a long question " * 60)
        assert reads.wait(60)
        expect(newest(page).locator(".turn-status")).to_have_text("Reading the prompt…")
        newest(page).locator(".turn-stop").click()
        wait_for(page, "done")
        expect(newest(page).locator(".turn-status")).to_have_text("")
        for name in ("Base", "Aligned"):
            expect(column(page, name).locator(".uv-facts-line")).to_contain_text("0 tokens")
            expect(column(page, name).locator(".uv-facts-line")).to_contain_text("stopped by you")
        gate.set()
        page.close()


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
