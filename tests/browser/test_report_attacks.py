"""Hostile text in every place that a record has: a real Chromium shows it and runs none of it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.report_page import TOKENS, Open, choose, ready
from tests.support.records_builder import HOSTILE, PLAIN, build
from urial.records import Comparison, ContextShift, Message
from urial.render import report

pytestmark = pytest.mark.browser


def attacked(text: str) -> Comparison:
    """A record that carries the text everywhere that a record can."""
    history = [Message(role="user", content=text), Message(role="assistant", content=text)]
    plain = build([text, " ok", text], query=text, history=history, alternatives=[text, f" {text}", f"{text} "])
    pair = plain.pair.model_copy(update={"name": text, "base": text, "aligned": text, "revisions": {"base": text}})
    sides = {
        name: side.model_copy(update={"prompt": text, "text": text})
        for name, side in (("base", plain.base), ("aligned", plain.aligned))
    }
    settings = plain.settings.model_copy(update={"method": text})
    shift = {name: _with_context(shift, f"{name} {text}") for name, shift in plain.shift.items()}
    return plain.model_copy(update={"pair": pair, "settings": settings, "shift": shift, **sides})


def _with_context(shift: ContextShift, text: str) -> ContextShift:
    return shift.model_copy(update={"context": text})


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_text_is_shown_as_text(show: Open, number: int) -> None:
    text = HOSTILE[number]
    page = ready(show(attacked(text), note=text), 4)
    for title in ("Every token as a table", "What exactly was run"):
        page.get_by_text(title).click()
    page.locator(TOKENS).nth(1).click()
    page.locator(TOKENS).nth(0).hover(force=True)  # the middle of a text of 10,000 signs lies behind the bar
    choose(page, "both")
    page.evaluate("reportView.fail({name: 'base', message: document.querySelector('.uv-query-text').textContent})")
    page.wait_for_timeout(50)
    assert page.evaluate("window.__pwned") is None
    assert page.locator(".uv-query-text").text_content() == visible(text)
    assert page.locator("script").count() == 2
    assert page.locator("iframe, img, base, object, embed, form").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def visible(text: str) -> str:
    """How hidden characters are shown, from the rule: controls as their pictures, formatting as code points."""

    def sign(char: str) -> str:
        code = ord(char)
        hidden = unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in "\n\t\u200c\u200d"
        if not hidden:
            return char
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"

    return "".join(map(sign, text))


def test_policy_stops_script_that_got_in_all_the_same(chromium: Browser, tmp_path: Path) -> None:
    """Were text ever to become markup, the page's own policy would still not run it."""
    path = tmp_path / "report.html"
    path.write_text(
        report.comparison_page(build()).replace("<noscript>", '<img src=x onerror="window.__pwned=1"><noscript>')
    )
    page = chromium.new_page()
    page.goto(path.as_uri())
    ready(page, len(PLAIN) + 1)
    assert page.evaluate("window.__pwned") is None
    page.close()
