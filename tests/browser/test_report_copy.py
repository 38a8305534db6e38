"""What is copied from an answer is the answer: no rank, no sign for a hidden character, no name of the end token."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.report_page import Open, choose, open_more, ready
from tests.support.records_builder import PLAIN, build

pytestmark = pytest.mark.browser

HARD = [
    "Hi",
    "\u200b",
    " a",
    "\u202e",
    "\n\n",
    "\tb",
    "  ",
    "",
    "😀",
    "\u0007",
    "\u00ad",
    "\r\n",
    " " * 70,
    "end",
    "◦",
    ".",
]

# The listener of the page comes first and says what goes to the clipboard; a key press makes a real copy.
COPIED = """document.addEventListener("copy", (e) => (window.copied = e.clipboardData.getData("text/plain")))"""
SELECT = """([from, to]) => {
  const range = document.createRange();
  range.setStartBefore(from);
  range.setEndAfter(to);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}"""


def copied(page: Page, first: str, last: str | None = None) -> str:
    """What Ctrl+C gives after selecting from one element to another."""
    page.evaluate(COPIED)
    parts = [page.locator(part).locator("visible=true").first.element_handle() for part in (first, last or first)]
    page.evaluate(SELECT, parts)
    page.keyboard.press("Control+c")
    return page.evaluate("window.copied")


@pytest.mark.parametrize("texts", [PLAIN, HARD], ids=["plain", "hard"])
@pytest.mark.parametrize("with_end", [True, False], ids=["end", "no-end"])
def test_a_copied_answer_is_the_answer(show: Open, texts: list[str], with_end: bool) -> None:
    comparison = build(texts, with_end=with_end)
    page = ready(show(comparison), len(texts) + with_end)
    assert copied(page, ".uv-tokens") == "".join(texts)
    open_more(page)
    page.get_by_label("spaces and line breaks").check()
    choose(page, "rank")
    assert copied(page, ".uv-tokens") == "".join(texts)
    page.get_by_label("whole words").check()
    expect(page.locator(".uv-tokens").locator("visible=true").first).to_contain_text(texts[0])
    assert copied(page, ".uv-tokens") == "".join(texts)
    assert copied(page, ".uv-plain") == comparison.base.text


def test_a_part_of_an_answer_is_copied_as_that_part(show: Open) -> None:
    page = ready(show(build(HARD, with_end=False)), len(HARD))
    tokens = ".uv-tokens:visible .uv-token"
    for first, last in ((0, 4), (1, 1), (3, 9), (12, 15)):
        got = copied(page, f"{tokens} >> nth={first}", f"{tokens} >> nth={last}")
        assert got == "".join(HARD[first : last + 1])


def test_around_an_answer_the_rest_is_copied_as_usual(show: Open) -> None:
    comparison = build()
    page = ready(show(comparison), len(PLAIN) + 1)
    got = copied(page, ".uv-query-text", ".uv-note, .uv-what .uv-title")
    assert comparison.query in got
    assert comparison.base.text in got
    assert "".join(PLAIN) in got
    assert "never tuned" in got
    selected = page.evaluate("getSelection().toString()")
    assert comparison.query in selected  # what was selected stays so
    assert page.evaluate("getSelection().getRangeAt(0).collapsed") is False


def test_what_is_typed_is_copied_as_typed(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    choose(page, "rank")
    page.evaluate(COPIED)
    page.get_by_label("Rank bands, first bound").select_text()
    page.keyboard.press("Control+c")
    assert page.evaluate("window.copied") == ""  # the browser's own copy


def test_fenced_code_is_in_a_fixed_width_face(show: Open) -> None:
    texts = ["Like", " this", ":\n", "```", "py", "\n", "x", " =", " 1", "\n", "```", "\n", "Done", "."]
    page = ready(show(build(texts, with_end=False)), len(texts))
    tokens = page.locator('[role="listbox"]:visible [role=option]')
    fixed = tokens.evaluate_all('all => all.map((e) => getComputedStyle(e).fontFamily.includes("mono"))')
    assert fixed == [3 <= place < 12 for place in range(len(texts))]
