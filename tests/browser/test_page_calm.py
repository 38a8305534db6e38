"""The page keeps still: what is in sight does not move by itself over a visit, and Tab goes from part to part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import SHORT, Visit, answered, settled, short, unfold_form, wait_for
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

WINDOWS = {
    "wide": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
MOST = 0.05  # cumulative layout shift, summed over the whole visit

# As the browser counts it: movement within half a second of a key or a tap is the visitor's own. With each, what moved.
SHIFTED = """() => new Promise((tell) => {
  const place = ({x, y, width, height}) => [x, y, width, height].map(Math.round).join(" ");
  const moved = ({node, previousRect, currentRect}) =>
    `${node ? node.id || node.className || node.nodeName : "?"}: ${place(previousRect)} -> ${place(currentRect)}`;
  new PerformanceObserver((list) => tell(list.getEntries().filter((e) => !e.hadRecentInput)
      .map((e) => [e.value, e.startTime, e.sources.map(moved).join("; ")])))
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => tell([]), 1000);
})"""


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_moves_by_itself_over_a_visit(visit: Visit, window: str) -> None:
    """Opening, a first answer, a second turn: what is seen moves less than 0.05 in all."""
    page = settled(visit(SHORT.format(tokens=120), **WINDOWS[window]), 120)
    page.wait_for_timeout(1000)
    answered(page, "Keep still.")
    page.wait_for_timeout(800)
    unfold_form(page)
    page.locator("#query textarea").fill("And then?")
    page.locator("#go-on").click()
    expect(page.locator(".turn")).to_have_count(2)
    wait_for(page, "done")
    page.wait_for_timeout(800)
    found = page.evaluate(SHIFTED)
    most = sorted(found, reverse=True)[:8]
    assert sum(value for value, *_ in found) < MOST, "\n".join(f"{v:.4f} at {t:.0f} ms: {what}" for v, t, what in most)


@pytest.mark.parametrize(("box", "after"), [("pair", "#method input"), ("method", "#settings > button")])
@pytest.mark.parametrize("opened", [True, False], ids=["open", "closed"])
def test_tab_leaves_a_chooser(visit: Visit, box: str, after: str, opened: bool) -> None:
    page = short(visit)
    page.locator(f"#{box} input").focus()
    if opened:
        expect(page.locator(f"#{box} .option-list")).to_be_visible()
    else:
        page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.locator(after).first).to_be_focused()
    expect(page.locator(f"#{box} .option-list")).to_have_count(0)


def test_the_chosen_tab_is_seen_in_forced_colours(visit: Visit) -> None:
    page = short(visit, forced_colors="active")
    fills = page.get_by_role("tab").evaluate_all("all => all.map((e) => getComputedStyle(e).backgroundColor)")
    chosen = page.get_by_role("tab").evaluate_all('all => all.map((e) => e.getAttribute("aria-selected") === "true")')
    assert chosen.count(True) == 1
    marked = fills[chosen.index(True)]
    assert all((fill == marked) == is_chosen for fill, is_chosen in zip(fills, chosen, strict=True))


def test_headings_go_down_one_step_at_a_time(visit: Visit) -> None:
    page = answered(short(visit), "headings")
    headings = page.locator("h1, h2, h3, h4, h5, h6").locator("visible=true")
    levels = headings.evaluate_all("all => all.map((e) => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
