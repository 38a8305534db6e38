"""A conversation on the live page: buttons that never move, Enter that goes on, and nothing dropped for good."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_page import Visit, answered, ask, column, newest, short, tokens_of, unfold_form, wait_for
from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

BUTTONS = ("#go", "#go-on", "#open-saved")


def places(page: Page) -> list[dict]:
    """Where the buttons are, in the document."""
    return page.evaluate(
        "(names) => names.map((name) => { const box = document.querySelector(name).getBoundingClientRect();"
        " return [box.x, box.y + scrollY, box.width, box.height].map(Math.round); })",
        list(BUTTONS),
    )


def talked(visit: Visit, **options: object) -> Page:
    """Two turns."""
    page = answered(short(visit, **options), "turn one")
    page.locator("#query textarea").fill("turn two")
    page.locator("#go-on").click()
    expect(page.locator(".turn")).to_have_count(2)
    wait_for(page, "done")
    return page


def shown(page: Page) -> list[object]:
    """All that the newest turn shows of its answers."""
    page.wait_for_timeout(200)
    return [newest(page).locator(part).all_inner_texts() for part in (".uv-column", ".uv-what", ".uv-run")]


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_buttons_never_move(visit: Visit, size: tuple[int, int]) -> None:
    page = short(visit, viewport={"width": size[0], "height": size[1]})
    expect(page.locator("#room-line")).not_to_be_empty()
    expect(page.locator("#go-on")).to_be_disabled()
    before = places(page)
    is_phone = size[0] < 500
    ask(page, "where are you")
    expect(page.locator("#form-fold")).to_be_visible(visible=is_phone)
    unfold_form(page)
    assert places(page) == before
    wait_for(page, "done")
    expect(page.locator("#room-line")).to_have_text("models ready")
    assert places(page) == before
    page.locator("#query textarea").fill("and now")
    page.locator("#go-on").click()
    expect(page.locator(".turn")).to_have_count(2)
    wait_for(page, "done")
    expect(page.locator("#form-fold")).to_be_visible(visible=is_phone)
    unfold_form(page)
    assert places(page) == before


def test_compare_pressed_twice_changes_nothing(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "pressed twice")
    result, runs = newest(page).get_attribute("data-result"), len(demo.service.runs)
    page.locator("#go").click()
    expect(page.locator(".turn-status")).to_contain_text("This is the answer to this very question")
    expect(newest(page)).to_have_attribute("data-result", result)
    assert len(demo.service.runs) == runs
    expect(page.locator("#away")).to_be_hidden()


def test_enter_goes_on_in_a_conversation(visit: Visit, demo: ui_server.Live) -> None:
    page = talked(visit)
    ask(page, "turn three")
    expect(page.locator(".turn")).to_have_count(3)
    wait_for(page, "done")
    record = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    assert [message.content for message in record.history if message.role == "user"] == ["turn one", "turn two"]
    ask(page, "why " * 25_000)  # refused: the conversation stays, and the next question takes its place
    expect(newest(page).locator("> .notice")).to_contain_text("100,000 characters")
    ask(page, "turn four")
    expect(page.locator(".turn")).to_have_count(4)
    wait_for(page, "done")


def test_a_new_comparison_is_chosen_and_what_it_puts_away_comes_back_whole(visit: Visit) -> None:
    page = talked(visit)
    before = shown(page)
    expect(page.locator("#go")).to_have_text("New comparison")
    page.locator("#query textarea").fill("something else")
    page.locator("#go").click()
    expect(page.locator(".turn")).to_have_count(1)
    wait_for(page, "done")
    page.get_by_role("button", name="2 turns: turn one").click()
    expect(page.locator(".turn-query")).to_have_text(["turn one", "turn two"])
    assert shown(page) == before
    expect(page.get_by_role("button", name="↩ something else")).to_be_visible()
    ask(page, "turn three")
    expect(page.locator(".turn")).to_have_count(3)
    wait_for(page, "done")


def test_starting_over_is_undone(visit: Visit) -> None:
    page = answered(short(visit), "start over?")
    before = shown(page)
    page.locator("#start-over").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#query textarea")).to_be_focused()
    page.get_by_role("button", name="↩ start over?").click()
    expect(newest(page).locator(".turn-query")).to_have_text("start over?")
    assert shown(page) == before
    tokens_of(page).nth(2).click()
    expect(page.get_by_role("region", name="Token card")).to_be_visible()


@pytest.mark.usefixtures("slowly")
def test_an_answer_put_away_while_it_is_written_stops_and_keeps_what_came(visit: Visit) -> None:
    page = short(visit, tokens=400)
    ask(page, "half written")
    expect(tokens_of(page).nth(5)).to_be_attached()
    page.locator("#start-over").click()
    answered(page, "the next")
    expect(column(page, "Base").locator(".uv-facts-line")).to_contain_text("400 tokens")
    page.get_by_role("button", name="↩ half written").click()
    wait_for(page, "done")
    expect(column(page, "Base").locator(".uv-facts-line")).to_contain_text("stopped by you")
    assert 5 < tokens_of(page).count() < 400
