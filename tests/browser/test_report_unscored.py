"""Tokens that are not scored, in Chromium: a mark of their own, out of every count, and words for why."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.report_page import ANSWER, TOKENS, Open, choose, ready
from tests.support.records_builder import PLAIN, build, unscore

pytestmark = pytest.mark.browser
REASONS = {2: "missing", 5: "impossible_numbers", 9: "not_in_base_vocabulary"}


def test_they_have_a_mark_in_every_mode_and_are_counted_apart(show: Open) -> None:
    page = ready(show(unscore(build(), REASONS)), len(PLAIN) + 1)
    marked = page.locator(f"{ANSWER} >> .uv-c-n")
    legend = page.locator(".uv-legend")
    for mode in ("class", "rank", "KL", "gap"):
        choose(page, mode)
        expect(marked).to_have_count(3)
        assert marked.locator(".uv-number").all_inner_texts() == ["?"] * 3
        expect(legend).to_contain_text("3 not scored")
        assert sum(int(n) for n in legend.locator("b").all_inner_texts()) == len(PLAIN)
    said = page.locator(TOKENS).nth(5).get_attribute("aria-label")
    assert said == f"{PLAIN[5].strip()}, not scored: the server’s numbers contradict themselves"


def test_one_sentence_counts_them_and_shares_are_of_the_others(show: Open) -> None:
    comparison = unscore(build(), REASONS)
    page = ready(show(comparison), len(PLAIN) + 1)
    sentence = page.locator(".uv-unscored")
    expect(sentence).to_have_text(
        "3\u00a0tokens are not scored and in no share or mean: the server told no number (1), "
        "the server’s numbers contradict themselves (1), the base does not know this token (1)."
    )
    summary = comparison.shift["zero_shot"].summary
    expect(page.locator(".uv-count").first).to_have_text(f"n\u00a0=\u00a0{summary.tokens}")
    expect(page.locator(".uv-numbers b").nth(2)).to_have_text(f"{100 * summary.shifted:.1f}\u00a0%")


def test_contexts_that_differ_are_told_apart(show: Open) -> None:
    page = ready(show(unscore(build(), {3: "missing"}, contexts=("urial",))), len(PLAIN) + 1)
    expect(page.locator(".uv-unscored")).to_have_text(
        "Where the base sees the URIAL prompt, 1\u00a0token is not scored and in no share or mean: "
        "the server told no number (1)."
    )
    expect(page.locator(".uv-legend")).not_to_contain_text("not scored")


def test_the_tip_the_card_and_the_table_show_no_number_that_is_not_there(show: Open) -> None:
    page = ready(show(unscore(build(), REASONS)), len(PLAIN) + 1)
    for position, why in ((5, "contradict themselves"), (9, "does not know this token")):
        page.locator(TOKENS).nth(position).hover()
        expect(page.locator(".uv-tip")).to_contain_text(
            f"not scored, {'the base' if position == 9 else 'the server’s'}"
        )
        page.locator(TOKENS).nth(position).click()
        card = page.locator(".uv-token-card")
        expect(card.locator(".uv-title")).to_contain_text(why)
        assert not any(word in card.inner_text() for word in ("NaN", "null", "undefined"))
        expect(card.locator(".uv-card-numbers tbody tr").first).to_contain_text("–")
    expect(card.locator(".uv-list").nth(0)).to_contain_text("not known here")
    expect(card.locator(".uv-list").nth(1).locator(".uv-hit")).to_have_count(1)
    page.get_by_text("Every token as a table").click()
    cells = page.locator(".uv-token-table tbody tr").nth(5).locator("td").all_inner_texts()
    assert cells[2] == "not scored" and cells[4:].count("–") >= 5


def test_a_record_without_such_rows_says_nothing_of_them(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    assert "not scored" not in page.locator(".urial-view").inner_text()
    expect(page.locator(".uv-unscored")).to_be_hidden()


def test_an_answer_of_which_nothing_is_scored_is_shown_whole(show: Open) -> None:
    page = ready(show(unscore(build(), dict.fromkeys(range(len(PLAIN) + 1), "missing"))), len(PLAIN) + 1)
    expect(page.locator(".uv-count").first).to_have_text("n\u00a0=\u00a00")
    assert "NaN" not in page.locator(".urial-view").inner_text()
    assert page.evaluate("async () => (await reportView.toPNG()).size") > 1000
