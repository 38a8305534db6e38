"""The stand-alone report in a real Chromium: what it shows, and what its choices change."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.report_page import ANSWER, TOKENS, Open, choose, open_more, ready
from tests.support.records_builder import PLAIN, build, long_answer
from urial import records
from urial.shares import classify

pytestmark = pytest.mark.browser


def test_tokens_show_text_class_and_rank(show: Open) -> None:
    comparison = build()
    page = ready(show(comparison), len(PLAIN) + 1)
    rows = comparison.shift["zero_shot"].tokens
    for i, row in enumerate(rows[:-1]):
        token = page.locator(TOKENS).nth(i)
        style = f"uv-c-{row.shift_class[0]}"
        assert style in (token.locator(".uv-mark").get_attribute("class") or "")
        assert f"{row.shift_class}, base rank {row.base_rank:,}" in (token.get_attribute("aria-label") or "")
        number = f"{row.base_rank:,}" if row.shift_class == "shifted" else ""
        assert token.locator(".uv-number").text_content() == number
    assert "end of turn" in (page.locator(TOKENS).last.get_attribute("aria-label") or "")


def test_answer_is_the_text_without_numbers_and_signs(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    text = page.locator(ANSWER).evaluate(
        """e => {
          const copy = e.cloneNode(true);
          copy.querySelectorAll(".uv-number, .uv-end").forEach((sign) => sign.remove());
          return copy.textContent;
        }"""
    )
    assert text == "".join(PLAIN)


def test_leading_spaces_are_left_unmarked(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    marks = page.locator(f"{ANSWER} >> .uv-token:not(.uv-blank) .uv-mark").all_text_contents()
    assert marks
    assert all(not mark.startswith(" ") for mark in marks)


def test_legend_counts_what_the_record_counts(show: Open) -> None:
    comparison = build(long_answer(80))
    page = ready(show(comparison), 81)
    rows = [row for row in comparison.shift["zero_shot"].tokens if not row.is_special]
    counted = [sum(row.shift_class == name for row in rows) for name in ("unshifted", "marginal", "shifted")]
    assert [int(n) for n in page.locator(".uv-legend b").all_text_contents()] == counted
    open_more(page)
    page.get_by_label("count the end token").check()
    expect(page.locator(".uv-count").first).to_have_text("n = 81".replace(" ", "\u00a0"))


def test_the_end_token_is_told_apart_from_the_tokens_that_count(show: Open) -> None:
    page = ready(show(build(long_answer(80))), 81)
    said = "80\u00a0tokens + end token"
    expect(page.get_by_role("region", name="Aligned answer").locator(".uv-facts-line")).to_contain_text(said)
    page.get_by_text("What exactly was run").click()
    expect(page.locator(".uv-fold[open]")).to_contain_text(f"{said} in")


def test_score_is_the_records_summary_with_a_wilson_interval(show: Open) -> None:
    comparison = build(long_answer(83))
    page = ready(show(comparison), 84)
    page.get_by_text("Figures: intervals").click()
    for i, (block, name) in enumerate(zip(page.locator(".uv-meter-block").all(), ("zero_shot", "urial"), strict=True)):
        summary = comparison.shift[name].summary
        wanted = [f"{100 * share:.1f}\u00a0%" for share in (summary.unshifted, summary.marginal, summary.shifted)]
        assert block.locator(".uv-numbers b").all_text_contents() == wanted
        low, high = wilson(round(summary.shifted * summary.tokens), summary.tokens)
        figures = page.locator(".uv-figures-table tbody tr")
        assert f"({100 * low:.1f} to {100 * high:.1f})" in figures.nth(2).locator("td").nth(i).text_content()
        assert figures.nth(3).locator("td").nth(i).text_content() == f"{summary.mean_kl:.2f}"
    assert page.get_by_text("One answer is one sample").count() == 1
    assert page.get_by_role("cell", name="77.7", exact=True).count() == 1


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((60, 25, 15), "Here it is 60.0 %: fewer than there, but most."),
        ((40, 20, 40), "Here it is 40.0 %: not most."),
        ((80, 15, 5), "Here it is 80.0 %: as far as one answer can tell, the same."),
        ((97, 2, 1), "Here it is 97.0 %: more than there."),
        ((1, 1, 1), "Here it is 33.3 %: too few words to tell."),
    ],
)
def test_the_claim_is_said_and_whether_it_holds_here(show: Open, counts: Counts, says: str) -> None:
    """By the interval of the unshifted share against the paper's pairs, 77.7 to 82.4 %."""
    low, high = (100 * bound for bound in wilson(counts[0], sum(counts)))
    assert ("to tell" in says or "can tell" in says) == (low <= 82.4 and high >= 77.7)
    page = ready(show(with_counts(zero_shot=counts, urial=counts)), sum(counts) + 1)
    claim = page.locator(".uv-claim")
    expect(claim).to_contain_text("The Unlocking Spell on Base LLMs")
    expect(claim).to_contain_text(says)


@pytest.mark.parametrize(
    ("bare", "prompted", "says"),
    [
        ((60, 25, 15), (62, 24, 14), " it is about the same: 14 came from tuning."),
        ((40, 20, 40), (90, 8, 2), ", fewer came from tuning: 2."),
        ((90, 8, 2), (40, 20, 40), ", more came from tuning: 40."),
    ],
)
def test_words_come_before_numbers(show: Open, bare: Counts, prompted: Counts, says: str) -> None:
    """The counts as a sentence; the prompt's effect only where the two intervals do not overlap."""
    comparison = with_counts(zero_shot=bare, urial=prompted)
    page = ready(show(comparison), 101)
    spans = [wilson(counts[2], sum(counts)) for counts in (bare, prompted)]
    overlap = spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1]
    assert ("about the same" in says) == overlap
    first = f"Seeing only the question, the base would have written {bare[0]} of 100\u00a0pieces itself; "
    then = f"{bare[1]} were its second or third choice; {bare[2]} came from tuning. Seeing the URIAL prompt{says}"
    expect(page.locator(".uv-finding")).to_have_text(first + then)
    for word in ("nats", "KL", "JS", "95"):
        assert word not in page.locator(".uv-what").inner_text().split("Figures")[0]


def test_a_loop_is_said_and_left_out_of_the_headline(show: Open) -> None:
    comparison = with_counts(zero_shot=(97, 2, 1), urial=(97, 2, 1))
    ids = [*range(10), *(list(range(10, 14)) * 30)][:100]
    looping = comparison.aligned.model_copy(update={"token_ids": [*ids, 1]})
    page = ready(show(comparison.model_copy(update={"aligned": looping})), 101)
    words = page.locator(".uv-finding")
    expect(words).to_contain_text("The answer runs in circles: 86 of its 100\u00a0pieces repeat earlier ones word for")
    expect(words).to_contain_text("the base would have written 14 of 14\u00a0pieces itself; 0 were")
    assert "100.0" in page.locator(".uv-numbers b").first.text_content()  # the bar leaves them out as well
    said = page.locator(".uv-repeats")
    expect(said).to_contain_text(
        "These shares leave out 86\u00a0repeated tokens. With all 100 counted, as in the paper: "
    )
    expect(said).to_contain_text("1.0\u00a0% shifted seeing only the question")


Counts = tuple[int, int, int]


def with_counts(**counts: Counts) -> records.Comparison:
    """An answer and its end token with so many unshifted, marginal and shifted ones in each context."""
    length = sum(next(iter(counts.values())))
    comparison = build(long_answer(length))
    for name, (u, m, _) in counts.items():
        rows = comparison.shift[name].tokens
        for row in rows[:length]:
            rank = 1 if row.position < u else 2 if row.position < u + m else 9
            rows[row.position] = row.model_copy(update={"base_rank": rank, "shift_class": classify(rank)})
    return comparison


def wilson(k: int, n: int) -> tuple[float, float]:
    """The roots p of (k/n - p)^2 = z^2 p (1 - p) / n: Wilson's definition, solved as a quadratic."""
    z = 1.959964
    a, b, c = 1 + z * z / n, -(2 * k / n + z * z / n), (k / n) ** 2
    root = (b * b - 4 * a * c) ** 0.5
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_colour_modes_repaint_in_the_browser(show: Open) -> None:
    comparison = build(long_answer(60))
    page = ready(show(comparison), 61)
    rows = comparison.shift["zero_shot"].tokens[:-1]
    choose(page, "rank")
    expect(page.locator(f"{ANSWER} >> .uv-l4")).to_have_count(sum(row.base_rank > 100 for row in rows))
    choose(page, "KL")
    expect(page.locator(f"{ANSWER} >> .uv-l4")).to_have_count(sum(row.kl >= 2 for row in rows))
    choose(page, "gap")
    surer = sum(round(row.aligned_probability, 5) - round(row.base_probability, 5) >= 0.7 for row in rows)
    expect(page.locator(f"{ANSWER} >> .uv-g-p3")).to_have_count(surer)
    choose(page, "class")
    expect(page.locator(f"{ANSWER} >> .uv-c-s")).to_have_count(sum(row.base_rank > 3 for row in rows))


def test_rank_thresholds_are_editable_and_checked(show: Open) -> None:
    comparison = build(long_answer(60))
    page = ready(show(comparison), 61)
    rows = comparison.shift["zero_shot"].tokens[:-1]
    choose(page, "rank")
    page.get_by_label("Rank bands, third bound").fill("2000")
    expect(page.locator(f"{ANSWER} >> .uv-l4")).to_have_count(sum(row.base_rank > 2000 for row in rows))
    page.get_by_label("Rank bands, first bound").fill("50")
    expect(page.get_by_text("Use three whole numbers that grow")).to_be_visible()


def test_the_base_sees_either_context_or_both(show: Open) -> None:
    comparison = build(long_answer(60))
    page = ready(show(comparison), 61)
    choose(page, "the URIAL prompt")
    prompted = comparison.shift["urial"].tokens[:-1]
    expect(page.locator(f"{ANSWER} >> .uv-c-s")).to_have_count(sum(row.base_rank > 3 for row in prompted))
    choose(page, "both")
    expect(page.locator(ANSWER)).to_have_count(2)
    shares = [f"{100 * comparison.shift[name].summary.shifted:.1f}\u00a0% shifted" for name in ("zero_shot", "urial")]
    expect(page.locator(".uv-pane-title b")).to_have_text(shares)
    page.locator(TOKENS).nth(5).click()
    expect(page.locator(".uv-token-card .uv-list")).to_have_count(3)


def test_only_shifted_leaves_no_other_mark(show: Open) -> None:
    page = ready(show(build(long_answer(60))), 61)
    open_more(page)
    page.get_by_label("only shifted").check()
    expect(page.locator(f"{ANSWER} >> .uv-c-m")).to_have_count(0)
    expect(page.locator(f"{ANSWER} >> .uv-c-s")).not_to_have_count(0)


def test_spaces_and_line_breaks_are_shown_on_demand(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    sign = "e => getComputedStyle(e, '::before').content"
    space = page.locator(f"{ANSWER} >> .uv-space").first
    assert space.evaluate(sign) == "none"
    open_more(page)
    page.get_by_label("spaces and line breaks").check()
    expect(page.locator(".uv-show-spaces")).to_have_count(1)
    assert space.evaluate(sign) == '"·"'
    assert page.locator(f"{ANSWER} >> .uv-line").first.evaluate(sign) == '"↵"'


def test_pieces_become_words_and_the_worst_piece_speaks(show: Open) -> None:
    texts = ["I", "'", "m", " health", "ier", " now", "，", "你好", "世界"]
    comparison = build(texts)
    page = ready(show(comparison), len(texts) + 1)
    open_more(page)
    page.get_by_label("whole words").check()
    words = page.locator(TOKENS).evaluate_all(
        """tokens => tokens.map((token) => {
          const mark = token.querySelector(".uv-mark").cloneNode(true);
          mark.querySelector("sup").remove();
          return mark.textContent;
        })"""
    )
    assert words[:3] == ["I'm", "healthier", "now"]
    rows = comparison.shift["zero_shot"].tokens
    worst = max(rows[3].base_rank, rows[4].base_rank)
    assert page.locator(TOKENS).nth(1).get_attribute("aria-label").endswith(f"base rank {worst:,}")
