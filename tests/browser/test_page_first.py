"""The first minute: a recorded example before any question, and on a phone the coloured answer where one looks."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.demo_page import SHORT, Visit, answered, column, settled, short, tokens_of, wait_for
from tests.support.ui_server import GRADIO_WARNS, Live

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_recorded_example_stands_there_until_the_first_answer(visit: Visit, demo: Live) -> None:
    page = short(visit)
    runs, welcome = len(demo.service.runs), page.locator("#welcome")
    expect(welcome.locator("[role=option]")).not_to_have_count(0)
    for words in ("nothing was computed", "unmarked", "dotted", "underlined"):
        expect(welcome).to_contain_text(words)
    welcome.locator("[role=option]").first.click()
    expect(welcome.get_by_role("region", name="Token card")).to_be_visible()
    assert len(demo.service.runs) == runs
    page.set_viewport_size({"width": 390, "height": 844})
    expect(welcome.get_by_role("region", name="Base answer")).to_be_hidden()
    welcome.get_by_label("Base", exact=True).check()
    expect(welcome.get_by_role("region", name="Base answer")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    answered(page, "my own")
    expect(welcome).to_be_hidden()
    page.locator("#start-over").click()
    expect(welcome).to_be_visible()


def test_on_a_phone_the_coloured_answer_is_where_one_looks(visit: Visit) -> None:
    page = settled(visit(SHORT.format(tokens=120), **PHONE), 120)
    page.locator("#query textarea").fill("tapped")
    page.locator("#go").tap()
    wait_for(page, "done")
    page.wait_for_timeout(800)
    assert in_the_window(page, tokens_of(page).first)
    expect(column(page, "Base")).to_be_hidden()
    page.locator(".live").get_by_label("Base", exact=True).check()
    expect(column(page, "Base")).to_be_visible()
    expect(column(page, "Aligned")).to_be_hidden()


@pytest.mark.parametrize("window", [{}, PHONE], ids=["wide", "phone"])
def test_the_choices_stay_over_a_long_answer(visit: Visit, window: dict) -> None:
    page = answered(settled(visit(SHORT.format(tokens=400), **window), 400), "a long one")
    last = tokens_of(page).nth(380)
    last.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    bar = page.locator(".live .uv-top")
    assert in_the_window(page, bar)
    assert in_the_window(page, last)
    assert last.bounding_box()["y"] >= bar.bounding_box()["y"] + bar.bounding_box()["height"] - 1


def test_on_a_phone_the_form_folds_to_one_line_and_opens_again(visit: Visit) -> None:
    page = settled(visit(SHORT.format(tokens=24), **PHONE), 24)
    page.locator("#query textarea").fill("a long question " * 10)
    page.locator("#go").tap()
    bar = page.locator("#form-fold")
    expect(bar).to_be_visible()
    expect(page.locator("#ask")).to_be_hidden()
    expect(bar).to_be_focused()  # who pressed a button that went away is not lost
    expect(bar).to_have_attribute("aria-expanded", "false")
    wait_for(page, "done")
    assert bar.bounding_box()["height"] < 60, "one line"
    page.keyboard.press("Enter")
    expect(page.locator("#query textarea")).to_be_focused()
    expect(bar).to_be_hidden()
    page.locator("#query textarea").fill("the next one")
    page.locator("#go-on").tap()
    expect(page.locator(".turn")).to_have_count(2)
    expect(bar).to_contain_text("the next one")
    page.locator("#start-over").tap()
    expect(page.locator("#ask")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(bar).to_be_hidden()


def in_the_window(page: Page, part: Locator) -> bool:
    box = part.bounding_box()
    return box["y"] >= -1 and box["y"] + box["height"] <= page.evaluate("innerHeight") + 1
