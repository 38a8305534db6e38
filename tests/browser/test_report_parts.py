"""The parts of the report in a real Chromium: card, strip, table, what was run, picture, print."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from tests.browser.report_page import ANSWER, TOKENS, Open, open_more, ready
from tests.support.records_builder import HOSTILE, PLAIN, build, long_answer
from urial.records import Comparison, Message, Retrieved, Rewrite

pytestmark = pytest.mark.browser


def test_card_shows_both_lists_with_true_probabilities_and_the_rest(show: Open) -> None:
    comparison = build()
    page = ready(show(comparison), len(PLAIN) + 1)
    page.locator(TOKENS).first.click()
    row = comparison.shift["zero_shot"].tokens[0]
    lists = page.locator(".uv-token-card .uv-list")
    base = lists.first.locator(".uv-entry")
    assert base.count() == 12  # ten, the token itself at 62, the rest
    assert base.nth(10).locator(".uv-entry-rank").text_content() == "62"
    assert base.nth(0).locator("span").last.text_content() == percent(row.base_top[0][2])
    rest = 1 - sum(round(p, 5) for p in (row.base_probability, *(entry[2] for entry in row.base_top)))
    assert base.nth(11).locator("span").last.text_content() == percent(rest)
    numbers = page.locator(".uv-card-numbers").inner_text()
    assert "62" in numbers
    assert f"{comparison.shift['urial'].tokens[0].kl:.2f}" in numbers
    assert page.get_by_role("button", name="Let the base continue from here").count() == 0  # a file has no model


def percent(p: float) -> str:
    points = 100 * p
    if points < 0.01:
        return "<\u00a00.01\u00a0%"
    if points > 99.9:
        return ">\u00a099.9\u00a0%"
    return f"{points:.2f}\u00a0%" if points < 1 else f"{points:.1f}\u00a0%"


def test_strip_and_tokens_are_linked_both_ways(show: Open) -> None:
    page = ready(show(build(long_answer(40), with_end=False)), 40)
    page.get_by_text("Figures: intervals").click()
    drawing = page.locator(".uv-strip .uv-chart svg").first
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 10.5 / 40, box["y"] + 20)
    expect(page.locator(TOKENS).nth(10)).to_have_class(re.compile("uv-hovered"))
    page.mouse.click(box["x"] + box["width"] * 20.5 / 40, box["y"] + 20)
    expect(page.locator(TOKENS).nth(20)).to_have_attribute("aria-selected", "true")
    page.locator(TOKENS).nth(3).hover()
    expect(page.locator(".uv-chart .uv-hover-box").first).to_have_attribute("x", "3")
    assert page.locator(".uv-opening-shade").first.get_attribute("width") == "5"


def test_table_holds_every_token(show: Open) -> None:
    comparison = build(long_answer(200))
    page = ready(show(comparison), 201)
    page.get_by_text("Every token as a table").click()
    rows = page.locator(".uv-token-table tbody tr")
    expect(rows).to_have_count(201)
    cells = rows.nth(0).locator("td").all_text_contents()
    assert cells[0] == "1"
    assert "62" in cells
    assert cells[2] == "shifted"


def test_what_was_run_is_said_in_full(show: Open) -> None:
    history = [Message(role="user", content="hi"), Message(role="assistant", content="hello")]
    comparison = build(history=history)
    page = ready(show(comparison, note="The sibling is ours."), len(PLAIN) + 1)
    page.get_by_text("What exactly was run").click()
    page.locator(".uv-fold[open]").get_by_text("google/gemma-3-270m @ 0123abc").first.wait_for()  # filled when opened
    text = page.locator(".uv-fold[open]").inner_text()
    for fact in ("google/gemma-3-270m @ 0123abc", "float32", "cpu", "greedy", "seed", "base 1.1, aligned 1", "9.31"):
        assert fact in text
    assert comparison.base.prompt in text
    assert comparison.aligned.prompt in text
    assert "python -m urial compare" in text
    assert f"{len(comparison.base.prompt_ids)}\u00a0tokens" in text
    assert page.get_by_text("The sibling is ours.").count() == 1


def test_a_rewritten_question_is_shown_with_both_calls(show: Open) -> None:
    comparison = build()
    call = comparison.aligned.model_copy(
        update={"prompt": "<b>Rewrite</b> this", "text": "Context: none\nQuestion: Why?"}
    )
    rewrite = Rewrite(method="s2a", call=call, context="", question="Why?", asked="Why?")
    page = ready(show(comparison.model_copy(update={"rewrite": rewrite})), len(PLAIN) + 1)
    page.get_by_text("What exactly was run").click()
    page.locator(".uv-fold[open]").get_by_text("System 2 Attention").first.wait_for()  # filled when opened
    text = page.locator(".uv-fold[open]").inner_text()
    assert "its own rewrite of the question" in text and "<b>Rewrite</b> this" in text and "Question: Why?" in text
    assert "--aligned-method s2a" in text
    expect(page.locator(".uv-note q.uv-asked")).to_have_text("Why?")
    fallback = rewrite.model_copy(update={"asked": "q", "fallback": "The rewrite has no question in it: as it stands."})
    page = ready(show(comparison.model_copy(update={"rewrite": fallback})), len(PLAIN) + 1)
    page.get_by_text("What exactly was run").click()
    expect(page.locator(".uv-fold[open]")).to_contain_text("no question in it")
    expect(page.locator(".uv-note", has_text="System 2 Attention")).to_contain_text("no question in it")


def test_found_examples_name_the_words_that_matched_and_no_prefix_cache_and_icil_its_form(show: Open) -> None:
    comparison = build()
    found = [
        Retrieved(id="x", score=1.0, query="<b>far</b>?", matched=["cats"]),
        Retrieved(id="x", score=1.0, query="near?", matched=["<i>", "purr"]),
    ]

    def with_method(name: str, retrieved: list[Retrieved] | None) -> Comparison:
        settings = comparison.settings.model_copy(update={"method": name, "examples": 0, "retrieved": retrieved})
        return comparison.model_copy(update={"settings": settings})

    page = ready(show(with_method("retrieval_icl", found)), len(PLAIN) + 1)
    note = page.locator(".uv-note", has_text="Examples found")
    expect(note.locator("li")).to_have_text(["“near?”, by <i> purr", "“<b>far</b>?”, by cats"])
    expect(note.locator("mark")).to_have_text(["<i>", "purr", "cats"])
    expect(note).to_contain_text("no beginning to keep, so no prefix cache is used")
    page = ready(show(with_method("retrieval_icl", [])), len(PLAIN) + 1)
    expect(page.locator(".uv-note", has_text="No example of the pool")).to_be_visible()
    page = ready(show(with_method("icil", None)), len(PLAIN) + 1)
    expect(page.locator(".uv-note", has_text="eight demonstrations")).to_contain_text("Definition, Input and Output")


def test_a_record_that_is_not_exact_says_so(show: Open) -> None:
    page = ready(show(build(exact=False)), len(PLAIN) + 1)
    assert page.get_by_text("Not exact: scored by a server").is_visible()


def test_bounds_are_shown_as_bounds_with_what_they_do_not_cover(show: Open) -> None:
    comparison = build(exact=False)
    for context in comparison.shift.values():
        context.tokens[:] = [row.model_copy(update={"uncovered": 0.02}) for row in context.tokens]
    page = ready(show(comparison), len(PLAIN) + 1)
    row = comparison.shift["zero_shot"].tokens[0]
    page.locator(TOKENS).first.hover()
    expect(page.locator(".uv-tip")).to_contain_text(f"KL ≥\u00a0{row.kl:.2f} nats, 2.0\u00a0% of the mass not covered")
    page.locator(TOKENS).first.click()
    numbers = page.locator(".uv-card-numbers")
    expect(numbers).to_contain_text(f"≥\u00a0{row.kl:.2f}")
    expect(numbers).to_contain_text("mass not covered")


def test_a_record_without_shift_still_shows_both_answers(show: Open) -> None:
    page = show(build(contexts=()))
    expect(page.locator(".uv-columns")).to_contain_text("Here are three tips")
    expect(page.locator(".uv-columns")).to_contain_text("Hi! Here is what I would do.")


def test_one_context_and_an_empty_answer_are_fine(show: Open) -> None:
    ready(show(build(contexts=("zero_shot",))), len(PLAIN) + 1)
    page = show(build([], with_end=False))
    expect(page.locator(".uv-columns")).to_contain_text("0\u00a0tokens")


def test_without_javascript_both_answers_are_there(show: Open) -> None:
    page = show(build(), java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert "Hi! Here is what I would do." in text
    assert "Give me three tips" in text


def test_print_shows_the_answers_and_no_controls(show: Open) -> None:
    page = ready(show(build(), color_scheme="dark"), len(PLAIN) + 1)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.locator(".uv-controls").is_hidden()
    assert page.locator(ANSWER).is_visible()
    assert page.locator(".urial-view").evaluate("e => getComputedStyle(e).color") == "rgb(29, 31, 35)"
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    page.emulate_media(media="screen", color_scheme="dark")


def test_picture_is_a_png_with_the_classes_colours(show: Open) -> None:
    page = ready(show(build()), len(PLAIN) + 1)
    found = page.evaluate(
        """async () => {
          const blob = await reportView.toPNG();
          const bitmap = await createImageBitmap(blob);
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
          const pen = canvas.getContext("2d");
          pen.drawImage(bitmap, 0, 0);
          const {data} = pen.getImageData(0, 0, bitmap.width, bitmap.height);
          const seen = new Set();
          for (let i = 0; i < data.length; i += 4) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
          return {type: blob.type, width: bitmap.width, seen: [...seen]};
        }"""
    )
    assert found["type"] == "image/png"
    assert found["width"] == 2200
    assert "248,199,176" in found["seen"]  # the shifted background
    open_more(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as picture").click()
    assert download.value.suggested_filename == "urial.png"


def test_an_svg_holds_both_answers_as_text(show: Open) -> None:
    """Well-formed, whole, and whatever the models wrote in it is text, never an element."""
    comparison = build([*HOSTILE, "\n", " end"], with_end=False, query=HOSTILE[0])
    page = ready(show(comparison), len(HOSTILE) + 2)
    root = ElementTree.fromstring(page.evaluate("async () => await (await reportView.toSVG()).text()"))
    assert {each.tag.split("}")[1] for each in root.iter()} == {"svg", "text", "rect", "line"}
    said = "".join("".join(root.itertext()).split())
    for text in (comparison.base.text, "never tuned", "chat-tuned", "shifted, n ="):
        assert "".join(text.split()) in said
    page.get_by_label("the aligned answer alone", exact=True).evaluate("e => e.click()")
    alone = page.evaluate("async () => await (await reportView.toSVG()).text()")
    assert "never tuned" not in alone
