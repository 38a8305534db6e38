"""The first minute: a recorded example before any question, and on a phone the coloured answer where one looks."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.demo_page import (
    PATIENCE,
    SHORT,
    Visit,
    answered,
    column,
    newest,
    settled,
    short,
    tokens_of,
    wait_for,
)
from tests.support.ui_server import GRADIO_WARNS, Live, live, open_tiny, tiny_pair
from urial.ui.model_pool import ModelPool
from urial.ui.service import Service

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_recorded_example_stands_there_until_the_first_answer(visit: Visit, demo: Live) -> None:
    page = short(visit)
    runs, welcome = len(demo.service.runs), page.locator("#welcome")
    expect(welcome.locator("[role=option]")).not_to_have_count(0)
    expect(welcome).to_contain_text("nothing was computed")
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


@pytest.mark.parametrize("window", [{}, PHONE], ids=["wide", "phone"])
def test_the_marks_are_explained_by_both_words_before_the_recorded_answer(visit: Visit, window: dict) -> None:
    welcome = visit(**window).locator("#welcome")
    marks = welcome.locator(".marks li")
    first = welcome.locator("[role=option]").first
    expect(first).to_be_visible()
    expect(marks).to_contain_text(
        [
            "unmarked: unshifted, the base’s first choice",
            "dotted: marginal, its second or third choice",
            re.compile("underlined.*: shifted, a lower choice"),
        ]
    )
    top = first.bounding_box()["y"]
    assert all(box["y"] + box["height"] <= top for box in (mark.bounding_box() for mark in marks.all()))


def test_the_counts_over_an_answer_say_both_words(visit: Visit) -> None:
    legend = answered(short(visit), "count").locator(".live .uv-legend li")
    words = [r"unshifted base’s 1st choice$", r"marginal 2nd or 3rd$", r"shifted below 3rd$"]
    expect(legend).to_have_text([re.compile(rf"^\d+ {each}") for each in words])


SIZES = {
    "small": (0.27, "Very small models (270 million parameters): their facts are often wrong; what is shown is style."),
    "middle": (1.7, "Very small models (1.7 billion parameters): their facts are often wrong; what is shown is style."),
    "large": (6.7, "Models of 6.7 billion parameters: their facts can be wrong; what is shown is style."),
    "untold": (None, "What these models state can be wrong; what is shown is style."),
}


def test_each_answer_says_how_small_its_models_are(chromium: Browser) -> None:
    """From the pair at hand, not from the one that is shown first."""
    pairs = {name: tiny_pair(name).model_copy(update={"parameters_billion": size}) for name, (size, _) in SIZES.items()}
    with live(Service(ModelPool(pairs, open_tiny))) as demo:
        for name, (_, words) in SIZES.items():
            page = chromium.new_page()
            page.goto(f"{demo.url}/?pair={name}&method=zero_shot&max_new_tokens=24", timeout=PATIENCE)
            answered(settled(page, 24), "how large?")
            expect(newest(page).locator(".size-note > span")).to_have_text(words)
            page.close()


@pytest.mark.parametrize("window", [{}, PHONE], ids=["wide", "phone"])
def test_the_line_about_the_size_leads_to_where_it_fails(visit: Visit, window: dict) -> None:
    page = visit(**window)
    more = page.locator("#welcome .size-note").get_by_role("button", name="Read more")
    more.click()
    title = page.get_by_role("heading", name="Where it fails")
    expect(title).to_be_focused()
    expect(title).to_be_in_viewport()


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
