"""The page for everyone: axe, narrow and zoomed, dark, by keyboard, behind a proxy; and hostile text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_page import Visit, answered, ask, new_page, newest, short, unfold_form, wait_for
from tests.support import ui_server
from tests.support.records_builder import HOSTILE, build
from tests.support.ui_proxy import proxied
from tests.support.ui_server import GRADIO_WARNS
from urial import records

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]


def no_finding(page: Page) -> None:
    """Nothing serious or critical by axe's rules."""
    found = Axe().run(page).response["violations"]
    serious = [f"{v['id']}: {v['nodes'][0]['html'][:300]}" for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(visit: Visit, width: int, scheme: str) -> None:
    page = short(visit, viewport={"width": width, "height": 900}, color_scheme=scheme)
    no_finding(page)
    answered(page, "for everyone")
    unfold_form(page)
    page.locator("#settings button").first.click()
    no_finding(page)
    for tab in ("Gallery", "Learn"):
        open_tab(page, tab)
        no_finding(page)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.locator(f"#tab-{name.lower()} .host > *").first).to_be_attached()


def test_nothing_scrolls_sideways(visit: Visit) -> None:
    """Wide, at 200 % zoom (half as wide), on a phone, at 400 %; with a question that is one long word."""
    page = answered(short(visit), "w" * 300)
    for tab in ("Compare", "Gallery", "Learn"):
        open_tab(page, tab)
        for width in (1280, 640, 390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (tab, width)


def test_the_page_can_be_used_by_keyboard_alone(visit: Visit) -> None:
    page = short(visit)
    page.locator("#query textarea").focus()
    page.keyboard.type("keys only")
    page.keyboard.press("Tab")
    expect(page.locator("#go")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for(page, "done")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.live [role=listbox]') !== null"):
            break
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Token card")).to_be_visible()


def test_the_page_works_under_a_proxy_path(chromium: Browser) -> None:
    with ui_server.live(ui_server.tiny_service(), {"root_path": "/demo"}) as demo, proxied(demo.url, "/demo") as url:
        page = answered(new_page(chromium, url), "behind a proxy")
        assert page.url.startswith(url)
        page.close()


# Hostile text


def unhurt(page: Page) -> None:
    """Nothing of it ran, and the page still works."""
    assert page.evaluate("window.__pwned") is None
    assert page.locator(".host iframe, .host img, .host base, .host object, .host embed, .host style").count() == 0
    expect(page.locator("#go")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_queries_are_shown_as_text(visit: Visit) -> None:
    page = short(visit, tokens=8)
    for text in HOSTILE:
        page.evaluate("document.querySelectorAll('.turn').forEach((turn) => { turn.dataset.old = ''; })")
        ask(page, text)
        page.wait_for_selector(".turn:not([data-old]):is([data-state=done], [data-state=failed])")
        unhurt(page)
    assert page.locator(".turn-query").text_content() == HOSTILE[-1]


def test_hostile_records_are_shown_as_text(visit: Visit, tmp_path: Path) -> None:
    page = visit()
    for number, text in enumerate(HOSTILE):
        path = tmp_path / f"{number}.json"
        hostile = build([text, " ok", text], query=text, alternatives=[text, f" {text}"])
        path.write_text(records.to_json(hostile), encoding="utf-8")
        with page.expect_file_chooser() as chooser:
            page.locator("#open-saved").click()
        chooser.value.set_files(path)
        wait_for(page, "done")
        expect(newest(page)).to_be_visible()
        unhurt(page)


def test_hostile_links_are_shown_as_text(visit: Visit) -> None:
    """Every payload as a link's question, and as its pair, method and seed."""
    payloads = [text for text in HOSTILE if len(text) < 500]
    assert len(payloads) >= 25
    page = visit()
    for first in range(0, len(payloads), 4):
        some = payloads[first : first + 4]
        values = {"query": " ".join(some), "pair": some[0], "method": some[-1], "seed": some[len(some) // 2]}
        page.goto("/?" + urlencode(values))
        expect(page.locator("#page-notice")).to_contain_text("left out: pair, method, seed")
        expect(page.locator("#query textarea")).to_have_value(shown_in_a_box(values["query"]))
        unhurt(page)


def shown_in_a_box(text: str) -> str:
    """What a text area keeps of a text: its line breaks are all one kind."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
