"""The address and the browser's memory: tabs and recordings by link, the last comparisons after a reload."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import Visit, answered, newest, short, tokens_of
from tests.support.ui_server import GRADIO_WARNS, Live

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]


def test_a_recording_has_an_address(visit: Visit, demo: Live) -> None:
    page = visit()
    page.get_by_role("tab", name="Gallery").click()
    page.locator(".shelf-card").first.click()
    query = page.locator(".shown-query").text_content()
    assert "tab=gallery" in page.url and "entry=" in page.url
    linked = visit()
    linked.goto(page.url)
    expect(linked.locator(".shown-query")).to_have_text(query)
    linked.locator(".shelf-back").click()
    assert "entry=" not in linked.url
    linked.get_by_role("tab", name="Compare").click()
    assert "tab=" not in linked.url


@pytest.mark.parametrize("tail", ["?tab=nowhere&entry=..", "?tab=gallery&entry=%3Cb%3E&turn=-3", "?tab=%22%5D"])
def test_a_wrong_address_opens_the_page(visit: Visit, tail: str) -> None:
    page = visit(f"/{tail}")
    expect(page.get_by_role("tab", selected=True)).to_have_count(1)


def test_a_reload_keeps_what_was_there_until_it_is_cleared(visit: Visit, demo: Live) -> None:
    page = answered(short(visit), "Kept over a reload <b>")
    runs, count = len(demo.service.runs), tokens_of(page).count()
    page.reload()
    page.locator("#kept .away-one", has_text="Kept over a reload <b>").click()
    expect(newest(page).locator(".turn-query")).to_have_text("Kept over a reload <b>")
    expect(tokens_of(page)).to_have_count(count)
    assert len(demo.service.runs) == runs
    page.reload()
    page.get_by_role("button", name="Clear the comparisons").click()
    page.reload()
    expect(page.locator("#open-saved")).to_be_visible()
    expect(page.locator("#kept")).to_be_hidden()


def test_what_the_server_forgot_is_said(visit: Visit) -> None:
    page = visit()
    page.evaluate("""localStorage.setItem("urial.kept/1", JSON.stringify([{id: "0".repeat(32), query: "Long ago"}]))""")
    page.reload()
    page.locator("#kept .away-one").click()
    expect(page.locator("#page-notice")).to_contain_text("no longer holds the comparison of “Long ago”; ask it again")


@pytest.mark.parametrize("stored", ["{", "null", "[1, null, {}]", '{"a": 1}'])
def test_a_store_that_is_not_ours_is_an_empty_one(visit: Visit, stored: str) -> None:
    page = visit()
    page.evaluate("(text) => localStorage.setItem('urial.kept/1', text)", stored)
    page.reload()
    expect(page.locator("#open-saved")).to_be_visible()
    expect(page.locator("#kept")).to_be_hidden()
