"""Asking on the live page: both answers stream, stop, come again, go on; what is lost on the way is fetched."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo_page import (
    PATIENCE,
    Visit,
    answered,
    ask,
    column,
    new_page,
    newest,
    once_more,
    short,
    tokens_of,
    wait_for,
)
from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]


def last_record(demo: ui_server.Live):
    """The record of the newest finished run."""
    results = demo.service.results
    return results.get(next(reversed(results._held))).comparison()  # a page never asks for the newest: it knows its own


def test_both_answers_stream_and_equal_the_record(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "first question")
    record = last_record(demo)
    assert record.query == "first question"
    expect(column(page, "Base").locator(".uv-facts-line")).to_contain_text(f"{len(record.base.token_ids)} tokens")
    expect(tokens_of(page)).to_have_count(len(record.aligned.token_ids))


def test_enter_sends_and_shift_enter_breaks_the_line(visit: Visit) -> None:
    page = short(visit)
    box = page.locator("#query textarea")
    box.click()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(box).to_have_value("one\ntwo")
    expect(page.locator(".turn")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".turn-query")).to_have_text("one\ntwo")
    expect(box).to_have_value("one\ntwo")
    wait_for(page, "done")


def test_an_empty_question_is_one_sentence_and_takes_no_place(visit: Visit) -> None:
    page = visit()
    page.locator("#go").click()
    expect(page.locator(".turn > .notice")).to_contain_text("The query is empty")


def test_a_question_of_100_000_characters_is_refused_and_stays_in_the_box(visit: Visit) -> None:
    page = visit()
    long = "why " * 25_000
    ask(page, long)
    expect(page.locator(".turn > .notice")).to_contain_text("100,000 characters")
    expect(page.locator("#query textarea")).to_have_value(long)


@pytest.mark.usefixtures("slowly")
def test_one_side_stops_and_the_other_goes_on(visit: Visit, demo: ui_server.Live) -> None:
    page = short(visit, tokens=1024)
    ask(page, "a long question to stop")
    wait_for(page, "running")
    stop = newest(page).locator(".turn-stop")
    expect(stop).to_have_text("Stop both")
    column(page, "Base").get_by_role("button", name="Stop").click()
    expect(column(page, "Base").locator(".uv-facts-line")).to_contain_text("stopped by you", timeout=PATIENCE)
    expect(newest(page)).to_have_attribute("data-state", "running")
    expect(stop).to_have_text("Stop the aligned answer")
    stop.click()
    wait_for(page, "done")
    record = last_record(demo)
    assert record.base.stop_reason == "cancelled"
    assert len(record.base.token_ids) < len(record.aligned.token_ids)


@pytest.mark.usefixtures("slowly")
@pytest.mark.parametrize("side", ["base", "aligned"])
def test_the_stop_names_what_it_ends(visit: Visit, side: str) -> None:
    page = short(visit, tokens=1024)
    ask(page, "one side once more, then stop it")
    stop = newest(page).locator(".turn-stop")
    wait_for(page, "running")
    expect(stop).to_have_text("Stop both")
    stop.click()
    wait_for(page, "done")
    column(page, side.capitalize()).get_by_role("button", name="Again").click()
    expect(stop).to_be_visible()
    expect(stop).to_have_text(f"Stop the {side} answer")
    stop.click()
    wait_for(page, "done")
    expect(stop).to_be_hidden()


def test_one_side_comes_again_and_the_other_stays(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "once more please")
    before = last_record(demo)
    once_more(page, "Base")
    after = last_record(demo)
    assert after.base.token_ids != before.base.token_ids
    assert after.aligned == before.aligned and after.shift == before.shift
    once_more(page, "Aligned")
    assert last_record(demo).base == after.base
    expect(tokens_of(page)).to_have_count(len(last_record(demo).aligned.token_ids))


def test_the_same_question_comes_from_the_cache(visit: Visit, demo: ui_server.Live) -> None:
    answered(short(visit), "asked twice")
    runs = len(demo.service.runs)
    page = answered(short(visit), "asked twice")
    expect(page.locator(".turn-status")).to_contain_text("From the cache, computed")
    assert len(demo.service.runs) == runs
    once_more(page, "Base")


def test_going_on_shows_both_the_turn_before(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "turn one")
    first = last_record(demo)
    page.locator("#query textarea").fill("turn two")
    page.locator("#go-on").click()
    expect(page.locator(".turn")).to_have_count(2)
    wait_for(page, "done")
    second = last_record(demo)
    assert [message.content for message in second.history] == ["turn one", first.aligned.text]
    earlier = page.locator(".turn").first
    expect(earlier.locator(".turn-view")).to_be_hidden()
    expect(earlier.locator(".turn-brief")).to_contain_text("shifted")
    earlier.locator(".turn-query").click()
    expect(earlier.locator(".uv-facts-line").first).to_contain_text(f"{len(first.base.token_ids)} tokens")
    page.locator("#start-over").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#go-on")).to_be_disabled()


def test_the_base_goes_on_from_a_token(visit: Visit) -> None:
    page = answered(short(visit), "go on from here")
    tokens_of(page).nth(3).click()
    page.get_by_role("button", name="Let the base continue from here").click()
    branch = page.get_by_role("region", name="The base continues")
    expect(branch).to_contain_text("tokens, stopped", timeout=PATIENCE)
    page.get_by_role("button", name="instead").first.click()
    expect(branch).to_contain_text("with another token")
    expect(branch).to_contain_text("tokens, stopped", timeout=PATIENCE)


@pytest.mark.parametrize("lost", ["every second batch", "the last batches"])
def test_batches_lost_on_the_way_are_fetched_again(visit: Visit, demo: ui_server.Live, lost: str) -> None:
    page = short(visit, tokens=60)
    rule = "count % 2 === 0" if lost == "every second batch" else "count < 6"
    page.evaluate(
        f"""() => {{
            const receive = window.UrialPage.receive;
            let count = 0;
            window.UrialPage.receive = (text) => {{ count += 1; if ({rule}) receive(text); }};
        }}"""
    )
    answered(page, f"lossy: {lost}")
    record = last_record(demo)
    expect(tokens_of(page)).to_have_count(len(record.aligned.token_ids))


def test_a_question_waits_in_sight_while_weights_load(chromium: Browser) -> None:
    gate = threading.Event()

    def slow(pair, progress):
        progress("Converting the weights", 0.25)
        gate.wait(120)
        return ui_server.long_pair()

    with ui_server.live(ui_server.tiny_service(slow)) as demo:
        page = new_page(chromium, demo.url)
        ask(page, "patience")
        expect(newest(page).locator(".turn-status")).to_have_text("Converting the weights: 25 %")
        expect(page.locator("#room-line")).to_have_text("Converting the weights: 25 %")
        gate.set()
        wait_for(page, "done")
        expect(page.locator("#room-line")).to_have_text("models ready")
        page.close()
