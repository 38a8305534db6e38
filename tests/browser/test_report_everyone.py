"""The report for everyone and at any length: axe, zoom, phone, dark, calm motion, no long task."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.report_page import TOKENS, Open, choose, open_more, ready
from tests.support.records_builder import PLAIN, UNICODE, build, long_answer

pytestmark = pytest.mark.browser


def opened(show: Open, **options: object) -> Page:
    """A report with everything unfolded and a card open."""
    page = show(build(PLAIN + UNICODE), **options)
    ready(page, len(PLAIN + UNICODE) + 1)
    for title in ("Every token as a table", "What exactly was run", "Words and exact definitions"):
        page.get_by_text(title).click()
    page.locator(TOKENS).first.click()
    return page


@pytest.mark.timeout(900)  # axe measures every element; a busy machine is no failure
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(show: Open, width: int) -> None:
    page = opened(show, viewport={"width": width, "height": 900})
    no_finding(page)
    choose(page, "both")
    page.keyboard.press("Escape")
    no_finding(page, part=".uv-columns")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_can_read_every_colour_mode(show: Open, scheme: str) -> None:
    page = opened(show, color_scheme=scheme)
    no_finding(page, "color-contrast")
    for mode in ("rank", "KL", "gap", "the URIAL prompt"):
        choose(page, mode)
        no_finding(page, "color-contrast", part=".uv-columns")
    open_more(page)
    page.get_by_label("only shifted").check()
    no_finding(page, "color-contrast", part=".uv-columns")


def no_finding(page: Page, *rules: str, part: str | None = None) -> None:
    """Nothing serious or critical by all of axe's rules, or by some; on the page, or in a part of it."""
    page.wait_for_timeout(60)
    options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else None
    found = Axe().run(page, context=part, options=options).response
    assert found["passes"], "axe looked at nothing"
    bad = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in bad] == []


@pytest.mark.parametrize("width", [1280, 640, 390, 320], ids=["wide", "zoom-200", "phone", "zoom-400"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_scrolls_sideways(show: Open, width: int, scheme: str) -> None:
    texts = [*PLAIN, *UNICODE, "x" * 300, " " * 300, "😀" * 100, "　" * 100]
    page = ready(
        show(build(texts, query="q" * 400), color_scheme=scheme, viewport={"width": width, "height": 800}),
        len(texts) + 1,
    )
    page.get_by_text("Every token as a table").click()
    page.get_by_text("What exactly was run").click()
    for label in ("both", "rank"):
        choose(page, label)
    page.locator(TOKENS).nth(1).click()
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_calm_motion_is_respected(show: Open) -> None:
    page = ready(show(build(), reduced_motion="reduce"), len(PLAIN) + 1)
    assert page.locator(".uv-bar").first.evaluate("e => getComputedStyle(e).transitionDuration") == "0s"


def test_dark_by_system_and_by_a_class_above(show: Open) -> None:
    colour = "e => getComputedStyle(e).color"
    dark = ready(show(build(), color_scheme="dark"), len(PLAIN) + 1)
    assert dark.locator(".urial-view").evaluate(colour) == "rgb(232, 230, 225)"
    light = ready(show(build(), color_scheme="light"), len(PLAIN) + 1)
    assert light.locator(".urial-view").evaluate(colour) == "rgb(29, 31, 35)"
    light.evaluate("document.body.classList.add('dark')")
    assert light.locator(".urial-view").evaluate(colour) == "rgb(232, 230, 225)"


WATCH = """
window.longest = 0;
new PerformanceObserver((list) => list.getEntries().forEach((e) => (longest = Math.max(longest, e.duration))))
  .observe({type: "longtask", buffered: true});
"""


def test_a_long_answer_never_blocks_the_page_for_a_fifth_of_a_second(chromium: Browser, show: Open) -> None:
    """512 tokens: loading, every switch, a card, the table.

    A task's time is the main thread's own processor time, from a trace: the wall time of a task also counts how long
    other programs kept the processor. The longest wall time (PerformanceObserver, longtask) is in the message.
    """
    page = show(build(), init=WATCH)
    chromium.start_tracing(page=page, categories=["toplevel", "disabled-by-default-devtools.timeline"])
    ready(show(build(long_answer(512)), init=WATCH), 513)
    for label in ("rank", "KL", "gap", "class", "the URIAL prompt", "both"):
        choose(page, label)
        page.wait_for_timeout(60)
    open_more(page)
    page.get_by_label("whole words").check()
    page.locator(TOKENS).nth(40).click()
    page.get_by_text("Every token as a table").click()
    expect(page.locator(".uv-token-table tbody tr")).to_have_count(513, timeout=60_000)
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    longest = max(milliseconds(events))
    assert longest < 200, f"processor time {longest:.0f} ms; longest task by the clock {page.evaluate('longest')} ms"


def milliseconds(events: list[dict]) -> Iterator[float]:
    """Processor time of every task on a page's main thread."""
    names = [event for event in events if event.get("name") == "thread_name"]
    main = {(event["pid"], event["tid"]) for event in names if event["args"]["name"] == "CrRendererMain"}
    tasks = [event for event in events if event.get("ph") == "X" and "RunTask" in event["name"]]
    assert tasks, "the trace holds no task"
    return (event.get("tdur", 0) / 1000 for event in tasks if (event["pid"], event["tid"]) in main)
