"""The Compare tab and the token view in Japanese: whole, chosen by browser or switch; texts stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.demo_page import PATIENCE, Visit, newest, tokens_of, wait_for
from tests.browser.test_report_copy import copied
from tests.support import ui_server
from tests.support.lines_builder import make_lines, write_lines
from tests.support.records_builder import build
from tests.support.ui_server import GRADIO_WARNS
from urial import records
from urial.corpus.answers import read
from urial.corpus.figures import summarize
from urial.corpus.folder import SUMMARY, write_json
from urial.gallery import FOLDER
from urial.ui.page import launch_arguments
from urial.workshop.routes import workshop_file

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

# Words in sight of the Compare tab and the heading; what people and models wrote, and names, are left out.
IN_SIGHT = """() => {
  const kept =
    "h2[dir=auto], .uv-answer, .uv-pre, .uv-entry-name, .uv-before, .uv-formula, .turn-query, .away-one, bdi, kbd, " +
    "#languages";
  const found = [];
  for (const root of document.querySelectorAll("#head, #tabs [role=tab], #tab-compare, footer")) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement;
      if (!parent.checkVisibility({ visibilityProperty: true }) || parent.closest(kept)) continue;
      const text = walker.currentNode.data.trim();
      if (/[A-Za-z]{3}/.test(text) && !/[ぁ-んァ-ヶ一-龠（]/.test(text)) found.push(text);
    }
  }
  return [...new Set(found)];
}"""
NAMES = {"URIAL side by side", "HTML", "JSON", "CSV", "PNG"}
PAPER = re.compile(r"(?:Llama|Mistral|Qwen|Vicuna)[^.]*→")


def left_in_english(page: Page) -> list[str]:
    return [text for text in page.evaluate(IN_SIGHT) if text not in NAMES and not PAPER.match(text)]


def japanese(visit: Visit) -> Page:
    page = visit("/?method=zero_shot&max_new_tokens=24", locale="ja-JP")
    expect(page.locator("#settings button").first).to_contain_text("最大 24 トークン", timeout=PATIENCE)
    return page


def ask_in_japanese(page: Page, text: str) -> None:
    page.locator("#query textarea").fill(text)
    page.locator("#query textarea").press("Enter")
    wait_for(page, "done")


def test_the_compare_tab_is_whole_in_japanese(visit: Visit) -> None:
    page = japanese(visit)
    expect(page.locator("html")).to_have_attribute("lang", "ja")
    expect(page.locator("#go")).to_have_text("比較")
    expect(page.locator("#room-line")).to_have_text(re.compile("モデル"))
    assert left_in_english(page) == []
    ask_in_japanese(page, "猫はなぜ？")
    tokens_of(page).nth(4).click()
    page.get_by_role("button", name="詳細", exact=True).locator("visible=true").first.click()
    for title in ("全トークンの表", "曲線を表で見る", "数値：区間"):
        page.locator(".live summary", has_text=title).click()
    page.locator("#settings button").first.click()
    expect(page.get_by_text("0 は貪欲法")).to_be_visible()
    expect(page.locator(".live .uv-token-table tbody tr")).to_have_count(tokens_of(page).count())
    assert left_in_english(page) == []
    for mode in ("順位", "KL", "差", "必要な調整", "区分"):
        page.locator(".live .uv-choice", has_text=re.compile(f"^{mode}$")).locator("input").check()
        assert left_in_english(page) == [], mode
    expect(page.locator(".live .uv-facts-line").first).to_contain_text("24 トークン")
    expect(page.locator(".live .uv-facts-line").first).to_contain_text("長さの上限で終了")


def test_questions_and_answers_stay_as_they_are(visit: Visit, tmp_path: Path) -> None:
    """A question and an answer made of the page's own words."""
    texts = ["shifted", " marginal", "\n", "Compare", " Go on", "."]
    record = build(texts, query="Compare", with_end=False)
    path = tmp_path / "own.json"
    path.write_text(records.to_json(record), encoding="utf-8")
    page = japanese(visit)
    with page.expect_file_chooser() as chooser:
        page.locator("#open-saved").click()
    chooser.value.set_files(path)
    wait_for(page, "done")
    expect(newest(page).locator(".turn-query")).to_have_text("Compare")
    assert copied(page, ".live .uv-tokens") == "".join(texts)
    tokens_of(page).nth(0).click()
    expect(page.locator(".live .uv-token-card h3 bdi, .live .uv-token-card .uv-title bdi").first).to_have_text(
        "shifted"
    )
    expect(page.locator(".live .uv-token-card .uv-title")).to_contain_text("1 番目のトークン")


def test_the_switch_chooses_and_is_remembered(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#go")).to_have_text("Compare")
    page.get_by_role("button", name="日本語").click()
    expect(page.locator("#go")).to_have_text("比較")
    page.reload()
    expect(page.locator("#go")).to_have_text("比較")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#go")).to_have_text("Compare")
    expect(page.locator("html")).to_have_attribute("lang", "en")


TABS = ("gallery", "corpus", "learn", "class")


def in_tab(page: Page, name: str) -> list[str]:
    """What is in English in a tab's own words: titles, questions and what to look at are the recordings'."""
    kept = "h2[dir=auto], .shelf-title, .shelf-look, .shown-look, code, cite, .uc-under, .uc-tags caption, .uc-tags th,"
    seen = IN_SIGHT.replace("#tab-compare", f"#tab-{name}").replace("h2[dir=auto],", kept)
    return [text for text in page.evaluate(seen) if text not in NAMES | {"URIAL", "SVG"} and not PAPER.match(text)]


def test_the_other_tabs_are_whole_in_japanese(chromium: Browser, tmp_path: Path) -> None:
    found = workshop_file(tmp_path / "class.sqlite")
    launch = launch_arguments(workshop=found)
    corpus = write_lines(tmp_path / "corpus", make_lines(12))
    write_json(corpus / SUMMARY, summarize(read(corpus)))
    with ui_server.live(ui_server.tiny_service(), launch, workshop=found, gallery=FOLDER, corpus=corpus) as demo:
        context = chromium.new_context(locale="ja-JP")
        page = context.new_page()
        page.goto(demo.url)
        expect(page.locator("#go")).to_have_text("比較", timeout=PATIENCE)
        for name in TABS:
            page.evaluate(f"document.querySelector('#tab-{name}-button').click()")  # a narrow page folds some of them
            expect(page.locator(f"#tab-{name}")).to_be_visible(timeout=PATIENCE)
            if name == "gallery":
                expect(page.locator("#tab-gallery .shelf-facts").first).to_contain_text("シフト", timeout=PATIENCE)
            if name == "corpus":
                expect(page.locator(".uc-shares tbody tr").first).to_be_visible(timeout=PATIENCE)
            if name == "learn":
                expect(page.locator("#host-learn .uv-answer").first).to_be_visible(timeout=PATIENCE)
                expect(page.locator(".learn h2", has_text="Four things to try")).to_be_hidden()
            assert in_tab(page, name) == [], name
        page.evaluate("document.querySelector('#tab-gallery-button').click()")
        page.locator("#tab-gallery .shelf-card").first.click()
        expect(page.locator("#tab-gallery .uv-answer").first).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#tab-gallery .shelf-back")).to_have_text("← 記録の一覧")
        assert in_tab(page, "gallery") == []
        context.close()
    found.database.close()
