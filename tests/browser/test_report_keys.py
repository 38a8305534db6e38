"""The report by keyboard alone, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.report_page import TOKENS, Open, ready
from tests.support.records_builder import PLAIN, build, long_answer

pytestmark = pytest.mark.browser


def here(page: Page) -> int:
    """Index of the focused token, or -1."""
    return page.evaluate(
        "[...document.querySelectorAll('[role=listbox] [role=option]')].indexOf(document.activeElement)"
    )


def tab_into_the_answer(page: Page) -> None:
    """Tab past the choices and the words that explain themselves; the answer is one stop of its own."""
    for _ in range(7):
        page.keyboard.press("Tab")
        if here(page) >= 0:
            return
    pytest.fail("seven tab stops did not reach the answer")


def test_walk_with_keys_only(show: Open) -> None:
    comparison = build()
    page = ready(show(comparison), len(PLAIN) + 1)
    rows = comparison.shift["zero_shot"].tokens
    shifted = [row.position for row in rows if row.shift_class == "shifted"]
    assert page.locator(f"{TOKENS}[tabindex='0']").count() == 1  # one tab stop
    tab_into_the_answer(page)
    assert here(page) == 0
    page.keyboard.press("ArrowRight")
    assert here(page) == 1
    page.keyboard.press("ArrowLeft")
    assert here(page) == 0
    page.keyboard.press("End")
    assert here(page) == len(rows) - 1
    page.keyboard.press("Home")
    walked = [page.keyboard.press("n") or here(page) for _ in shifted[1:]]
    assert walked == shifted[1:]
    page.keyboard.press("p")
    assert here(page) == shifted[-2]
    page.keyboard.press("Tab")
    assert here(page) == -1


def test_arrow_up_and_down_keep_to_the_column(show: Open) -> None:
    page = ready(show(build(long_answer(200))), 201)
    tab_into_the_answer(page)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    before = page.evaluate("document.activeElement.querySelector('.uv-mark').getBoundingClientRect().toJSON()")
    page.keyboard.press("ArrowDown")
    after = page.evaluate("document.activeElement.querySelector('.uv-mark').getBoundingClientRect().toJSON()")
    assert after["top"] > before["top"]
    assert abs(after["left"] - before["left"]) < 120
    page.keyboard.press("ArrowUp")
    assert here(page) <= 6


def test_enter_opens_the_card_and_escape_closes_it(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    tab_into_the_answer(page)
    page.keyboard.press("Enter")
    heading = page.locator(".uv-token-card h3")
    expect(heading).to_be_focused()
    expect(heading).to_contain_text("“Hello”, token 1: shifted, number 62 on the base’s list")
    page.keyboard.press("ArrowRight")
    expect(heading).to_contain_text("token 2:")
    page.keyboard.press("Escape")
    expect(page.locator(".uv-token-card")).to_be_hidden()
    assert here(page) == 1


def test_right_to_left_answers_walk_to_the_left(show: Open) -> None:
    page = ready(show(build(["مرحبا", " بالعالم", " اليوم"])), 4)
    tab_into_the_answer(page)
    page.keyboard.press("ArrowLeft")
    assert here(page) == 1
    boxes = [token.bounding_box() for token in page.locator(TOKENS).all()[:3]]
    assert boxes[0]["x"] > boxes[1]["x"] > boxes[2]["x"]  # tokens read from the right, though each is an element


def test_words_explain_themselves(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    term = page.get_by_role("button", name="KL, nats").first
    term.focus()
    tip = page.locator(".uv-tip")
    expect(tip).to_contain_text("How far the two models’ whole lists are apart")
    expect(tip).not_to_contain_text("Σ_v")
    page.keyboard.press("Enter")
    expect(tip).to_contain_text("Σ_v P_aligned(v) · ln( P_aligned(v) / P_base(v) )")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
