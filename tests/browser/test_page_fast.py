"""How fast the live page is: there within two seconds, never stuck on a long answer, little sent."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo_page import PATIENCE, Visit, ask, newest, short, tokens_of, wait_for
from tests.browser.test_report_everyone import milliseconds
from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

TRIES = 3  # a machine that others use too is slow now and then; a page that is slow is slow each time


def test_the_page_is_usable_within_two_seconds_before_any_weights(chromium: Browser) -> None:
    """From the address to a question in the box, and the models have not even begun to load; Gallery and Learn work."""
    service = ui_server.tiny_service()
    with ui_server.live(service) as demo:
        tries = [opened(chromium, demo.url)]
        while min(tries) >= 2 and len(tries) < TRIES:
            tries.append(opened(chromium, demo.url))
        assert service.models.status("tiny").state == "absent"
    assert min(tries) < 2, f"the box took a question after {min(tries):.2f} s"


def opened(chromium: Browser, url: str) -> float:
    """Seconds until the box holds a question; each try with an empty browser cache."""
    page = chromium.new_page()
    began = time.monotonic()
    page.goto(url, wait_until="commit", timeout=PATIENCE)
    page.locator("#query textarea").fill("already here", timeout=PATIENCE)
    seconds = time.monotonic() - began
    expect(page.locator("#room-line")).to_have_text("models load with the first question")
    page.close()
    return seconds


def test_a_long_answer_streams_without_blocking_the_page(chromium: Browser, visit: Visit, demo: ui_server.Live) -> None:
    """512 tokens in both contexts, then a card: no task over 200 ms of the main thread's own time, under 1.5 MB."""
    page = short(visit, tokens=512)
    chromium.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    ask(page, "a long one")
    wait_for(page, "done")
    expect(tokens_of(page)).to_have_count(512)
    tokens_of(page).nth(300).click()
    expect(page.get_by_role("region", name="Token card")).to_contain_text("token 301:")
    longest = max(milliseconds(json.loads(chromium.stop_tracing())["traceEvents"]))
    assert longest < 200, f"a task took {longest:.0f} ms"
    sent = demo.service.runs.since(newest(page).get_attribute("data-result"), 0)
    assert sum(len(text.encode()) for text in sent) < 1_500_000
    assert max(map(len, sent)) < 100_000  # suffixes: no batch holds the whole answer
