"""The address and the browser's memory: tabs and recordings by link, the last comparisons after a reload."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import Visit, answered, newest, short, tokens_of, wait_for
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


@pytest.mark.parametrize(
    "tail",
    [
        "?tab=nowhere&entry=..",
        "?tab=gallery&entry=%3Cb%3E&turn=-3",
        "?tab=%22%5D",
        "?shown=%3Cb%3E&sees=%3Cb%3E&colour=../x",
    ],
)
def test_a_wrong_address_opens_the_page(visit: Visit, tail: str) -> None:
    page = visit(f"/{tail}")
    expect(page.get_by_role("tab", selected=True)).to_have_count(1)


def test_a_reload_keeps_what_was_there_until_it_is_cleared(visit: Visit, demo: Live) -> None:
    page = answered(short(visit), "Kept over a reload <b>")
    runs, count = len(demo.service.runs), tokens_of(page).count()
    page.reload()
    expect(newest(page).locator(".turn-query")).to_have_text("Kept over a reload <b>")
    expect(tokens_of(page)).to_have_count(count)
    page.locator("#start-over").click()
    page.reload()
    page.locator("#kept .away-one", has_text="Kept over a reload <b>").click()
    expect(newest(page).locator(".turn-query")).to_have_text("Kept over a reload <b>")
    expect(tokens_of(page)).to_have_count(count)
    assert len(demo.service.runs) == runs
    page.locator("#start-over").click()
    page.reload()
    page.get_by_role("button", name="Clear the comparisons").click()
    page.reload()
    expect(page.locator("#open-saved")).to_be_visible()
    expect(page.locator("#kept")).to_be_hidden()


def test_a_reload_keeps_all_turns_the_colour_and_the_context(visit: Visit, demo: Live) -> None:
    page = answered(visit("/?method=urial/0&max_new_tokens=16"), "turn one")
    page.locator("#query textarea").fill("turn two")
    page.locator("#go-on").click()
    expect(page.locator(".turn")).to_have_count(2)
    wait_for(page, "done")
    chosen = (page.locator(".live").get_by_label("rank", exact=True), page.locator(".live").get_by_label("both"))
    for choice in chosen:
        choice.check(force=True)
    assert "colour=rank" in page.url and "sees=both" in page.url
    runs = len(demo.service.runs)
    page.reload()
    expect(page.locator(".turn-query")).to_have_text(["turn one", "turn two"])
    wait_for(page, "done")
    for choice in chosen:
        expect(choice).to_be_checked()
    assert len(demo.service.runs) == runs, "nothing is computed"
    newest(page).locator('[data-kind="link"]').click()
    expect(page).to_have_url(re.compile(r"shown=[0-9a-f]{32}\.[0-9a-f]{32}"))
    other = visit(page.url.removeprefix(demo.url))
    expect(other.locator(".turn-query")).to_have_text(["turn one", "turn two"])


def test_an_address_of_what_the_server_forgot_says_so(visit: Visit) -> None:
    page = visit("/?shown=" + "0" * 32)
    expect(page.locator("#page-notice")).to_contain_text("no longer holds all that this address names; ask again")
    expect(page.locator(".turn")).to_have_count(0)
    assert "shown=" not in page.url


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
