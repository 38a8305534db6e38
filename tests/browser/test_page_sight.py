"""What is chosen is in sight: the card of a token inside the window, ticked boxes in colours that can be told apart."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.demo_page import Visit, answered, short, tokens_of
from tests.browser.report_page import open_more
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

BOXES = ("only shifted", "spaces and line breaks", "whole words", "count the end token")


def lies_in_the_window(page: Page, part: Locator) -> None:
    """At rest, after any scrolling, the whole of a part."""
    page.wait_for_timeout(700)
    box, height = part.bounding_box(), page.evaluate("innerHeight")
    assert 0 <= box["y"] and box["y"] + box["height"] <= height + 1, f"{box} in a window of {height}"


@pytest.mark.parametrize(("width", "height", "touch"), [(1280, 800, False), (390, 844, True)], ids=["desktop", "phone"])
@pytest.mark.parametrize("tokens", [8, 200], ids=["short", "long"])
def test_the_card_of_a_chosen_token_lies_in_the_window(
    visit: Visit, width: int, height: int, touch: bool, tokens: int
) -> None:
    page = answered(
        short(visit, tokens, viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch),
        "show me the card",
    )
    card = page.get_by_role("region", name="Token card")
    for place in (2, tokens - 2):
        token = tokens_of(page).nth(place)
        token.scroll_into_view_if_needed()
        token.tap() if touch else token.click()
        expect(token).to_have_attribute("aria-selected", "true")
        lies_in_the_window(page, card)
        lies_in_the_window(page, token)
        assert token.bounding_box()["y"] < card.bounding_box()["y"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_ticked_box_is_seen(visit: Visit, scheme: str) -> None:
    """The box against the panel, and the tick against the box: 3 to 1, as WCAG 2.2 asks of controls."""
    page = answered(short(visit, color_scheme=scheme), "tick them")
    panel = colour(page.locator(".live .uv-what"), "backgroundColor")
    open_more(page)
    for label in BOXES:
        box = page.locator(".live").get_by_label(label, exact=True)
        assert contrast(colour(box, "borderTopColor"), panel) >= 3, label
        box.check()
        for pointed in (True, False):
            box.hover() if pointed else page.mouse.move(0, 0)
            filled = colour(box, "backgroundColor")
            assert contrast(filled, panel) >= 3, label
            assert contrast(colour(box, "backgroundColor", "::before"), filled) >= 3, label
        box.uncheck()
        page.mouse.move(0, 0)
        assert colour(box, "backgroundColor") == panel


def colour(part: Locator, name: str, pseudo: str | None = None) -> tuple[float, ...]:
    """A computed colour as red, green, blue; one that lets through what is behind fails."""
    text = part.evaluate("(e, [name, pseudo]) => getComputedStyle(e, pseudo)[name]", [name, pseudo])
    values = tuple(float(value) for value in re.findall(r"[\d.]+", text))
    assert text.startswith("rgb") and len(values) == 3, f"{name} is {text}"
    return values


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(rgb: tuple[float, ...]) -> float:
    shares = [value / 255 for value in rgb]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["said", "wrong"])
def test_the_rim_of_a_notice_is_seen(visit: Visit, scheme: str, kind: str) -> None:
    """Its edge against what lies inside and outside it: 3 to 1; one that says what failed has another edge."""
    page = visit("/?query=hello" if kind == "said" else "/?query=hello&pair=nowhere", color_scheme=scheme)
    notice = page.locator("#page-notice")
    expect(notice).to_be_visible()
    if kind == "wrong":
        with page.expect_file_chooser() as chooser:
            page.locator("#open-saved").click()
        chooser.value.set_files({"name": "no.json", "mimeType": "application/json", "buffer": b"{}"})
        expect(notice).to_have_class("notice wrong")
    edge, inside = colour(notice, "borderInlineStartColor"), colour(notice, "backgroundColor")
    assert contrast(edge, inside) >= 3
    assert contrast(edge, colour(page.locator("body"), "backgroundColor")) >= 3
    assert notice.evaluate("e => parseFloat(getComputedStyle(e).borderInlineStartWidth)") >= 3


def test_the_footer_is_in_the_pages_face(visit: Visit) -> None:
    page = visit()
    face = page.locator("#query textarea").evaluate("e => getComputedStyle(e).fontFamily")
    assert "Noto Sans" in face
    for part in page.locator("footer, footer button:visible").all():
        assert part.evaluate("e => [getComputedStyle(e).fontFamily, getComputedStyle(e).fontSize]") == [face, "13.5px"]


@pytest.mark.parametrize("by", ["pointing", "keys"])
def test_the_tip_covers_no_line_that_was_read(visit: Visit, by: str) -> None:
    """In the middle of a long answer: neither the token's own line nor one above it lies under the tip."""
    page = answered(short(visit, 200), "a long one")
    token = tokens_of(page).nth(100)
    token.evaluate("e => e.scrollIntoView({block: 'center'})")
    if by == "pointing":
        token.hover()
    else:
        tokens_of(page).nth(99).focus()
        page.keyboard.press("ArrowRight")
    tip = page.locator(".live .uv-tip")
    expect(tip).to_be_visible()
    page.wait_for_timeout(700)
    lines = token.evaluate("e => [...e.getClientRects()].map((box) => box.bottom)")
    assert tip.bounding_box()["y"] >= lines[0] - 1


def test_dates_are_written_for_people(visit: Visit) -> None:
    page = visit("/?tab=gallery")
    page.locator(".shelf-card").first.click()
    noted = page.locator(".shown .quiet", has_text="Recorded")
    expect(noted).to_contain_text("2026")
    assert not re.search(r"\d{4}-\d\d|T\d\d:", page.locator("#tab-gallery").inner_text())
