"""The ladder of prompts on the page: asked for by a button, drawn, a table behind it, each prompt in full; and calm."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_page import PATIENCE, Visit, answered, ask, newest, short, wait_for
from tests.browser.test_page_everyone import no_finding
from tests.browser.test_page_first import PHONE
from tests.support.ui_server import GRADIO_WARNS, Live
from urial.render.sentences import fresh_summary

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

SHIFTS = """() => {
  window.shifts = 0;
  const add = (list) => list.getEntries().forEach((one) => { if (!one.hadRecentInput) window.shifts += one.value; });
  new PerformanceObserver(add).observe({type: "layout-shift", buffered: true});
}"""


def climbed(page: Page) -> Page:
    page.get_by_role("button", name="Compare prompts").click()
    expect(page.locator(".ladder-numbers.there")).to_be_visible(timeout=PATIENCE)
    return page


@pytest.mark.parametrize("window", [{"color_scheme": "dark"}, PHONE], ids=["wide", "phone"])
def test_six_prompts_in_one_picture_with_the_table_behind(visit: Visit, demo: Live, window: dict) -> None:
    page = short(visit, tokens=32, **window)
    page.evaluate(SHIFTS)
    climbed(answered(page, "up the ladder"))
    rungs = page.locator("button.ladder-rung")
    expect(rungs).to_have_count(6)
    page.locator(".ladder-numbers summary").click()
    rows = page.locator(".ladder-numbers tbody tr")
    expect(rows).to_have_count(6)
    kept = [name for name in demo.service.results._held if "/" in name][-6:]
    for index, name in enumerate(sorted(kept)):
        record = demo.service.results.get(name).comparison()
        (context,) = record.shift
        share = f"{100 * fresh_summary(record, context).shifted:.1f}\u00a0%"
        expect(rungs.nth(index)).to_contain_text(f"{share} shifted")
        expect(rows.nth(index)).to_contain_text(share)
    no_finding(page)
    assert page.evaluate("window.shifts") < 0.05


def test_a_prompt_opens_in_full_and_closes(visit: Visit) -> None:
    page = climbed(answered(short(visit), "one of them"))
    rung, full = page.locator("button.ladder-rung").nth(5), page.locator(".ladder-full")
    rung.click()
    expect(full.locator("[role=option]")).to_have_count(24)
    expect(full.locator("> h4")).to_have_text("The base sees URIAL, 8 examples")
    expect(rung).to_have_attribute("aria-expanded", "true")
    expect(full.get_by_role("region", name="Base answer")).to_be_hidden()
    full.locator("[role=option]").nth(3).click()
    expect(full.get_by_role("region", name="Token card")).to_contain_text("token 4:")
    rung.click()
    expect(full.locator("[role=option]")).to_have_count(0)
    expect(rung).to_have_attribute("aria-expanded", "false")


def test_a_ladder_stops_and_stays_with_its_turn(visit: Visit, slowly: None) -> None:
    page = answered(short(visit), "stopped on the way")
    page.get_by_role("button", name="Compare prompts").click()
    page.get_by_role("button", name="Stop comparing").click()
    expect(page.get_by_role("button", name="Compare prompts")).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".ladder-words")).to_contain_text("topped")
    ask(page, "another question")
    wait_for(page, "done")
    expect(page.locator(".ladder-words")).to_be_hidden()
    expect(newest(page).get_by_role("button", name="Compare prompts")).to_be_visible()


def test_a_ladder_of_what_the_server_forgot_says_so(visit: Visit, demo: Live) -> None:
    page = answered(short(visit), "forgotten meanwhile")
    demo.service.results._held.clear()
    page.get_by_role("button", name="Compare prompts").click()
    expect(page.locator(".ladder-words")).to_contain_text("no longer kept here")
    expect(page.get_by_role("button", name="Compare prompts")).to_have_attribute("aria-disabled", "false")
