"""What leaves the live page: printed on sheets of paper, and copied from an answer."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from tests.browser.demo_page import Visit, answered, column, newest, short, tokens_of
from tests.browser.report_page import open_more
from tests.browser.test_report_copy import copied
from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

INK, PAPER = "rgb(29, 31, 35)", "rgb(255, 255, 255)"


def sheets(page: Page) -> list[str]:
    """The text of every printed sheet; a typeface's ligatures as letters, white space as single spaces."""
    found = PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True)))
    return [plain(sheet.extract_text()) for sheet in found.pages]


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tokens", [24, 200], ids=["short", "long"])
def test_print_holds_everything_to_the_last_panel(visit: Visit, tokens: int, scheme: str) -> None:
    page = answered(short(visit, tokens, color_scheme=scheme), "print me")
    tokens_of(page).nth(2).click()
    expect(page.get_by_role("region", name="Token card")).to_be_visible()
    printed = sheets(page)
    text = " ".join(printed)
    for part in ("URIAL side by side", "print me", "What tuning changed", "The base would have said", "How to read it"):
        assert part in text
    last = page.locator(".live .uv-why").last.text_content()
    beside = text[text.index("Beside the paper") :]
    for words in ("unshifted marginal shifted", "this answer, only the question", "Mistral 7B Instruct 82.2 12.5 5.2"):
        assert words in beside
    assert beside.endswith(plain(last))
    assert all(printed), "a sheet without a word"


def test_print_is_in_the_colours_of_the_day_and_has_no_controls(visit: Visit) -> None:
    page = answered(short(visit, color_scheme="dark"), "print me by night")
    page.emulate_media(media="print", color_scheme="dark")
    for part in ("#ask", "#opener", ".turn-keep", "footer", "#tabs [role=tablist]", ".live .uv-tools"):
        expect(page.locator(part).first).to_be_hidden()
    for part in (".turn-query", ".live .uv-plain", ".live .uv-title", "#head h1"):
        inked = page.locator(part).locator("visible=true").first
        expect(inked).to_have_css("color", INK)  # some change gradually
    for part in (".live .uv-panel:visible", "body"):
        expect(page.locator(part).first).to_have_css("background-color", PAPER)


def test_what_is_copied_from_the_live_answers_is_the_answers(visit: Visit, demo: ui_server.Live) -> None:
    """Random models write blanks, signs and broken characters; no rank, sign or code of the view comes with them."""
    page = answered(short(visit, 60), "copy me")
    record = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    rows = record.shift["zero_shot"].tokens
    whole = "".join(row.text for row in rows if not row.is_special)
    assert copied(page, ".live .uv-tokens") == whole
    open_more(page)
    page.locator(".live").get_by_label("spaces and line breaks").check()
    page.locator(".live .uv-choice", has_text=re.compile("^rank$")).locator("input").check()
    assert copied(page, ".live .uv-tokens") == whole
    assert copied(page, ".live .uv-plain") == record.base.text
    tokens = ".live .uv-tokens:visible .uv-token"
    some = copied(page, f"{tokens} >> nth=3", f"{tokens} >> nth=9")
    assert some == "".join(row.text for row in rows[3:10] if not row.is_special)
    assert column(page, "Aligned").locator(".uv-number").first.text_content() not in ("", None)
