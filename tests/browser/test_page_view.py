"""The answers on the live page: coloured while they stream, looked into without asking the server, told in full."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.demo_page import (
    Visit,
    answered,
    ask,
    column,
    newest,
    once_more,
    set_number,
    short,
    tokens_of,
    wait_for,
)
from tests.browser.report_page import open_more
from tests.support import ui_server
from tests.support.ui_server import GRADIO_WARNS
from urial.render.command_line import command
from urial.ui.form import EXAMPLES

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

MARKED = '.live [role="option"][aria-label*="base rank"]'


def requests_of(page: Page) -> list[str]:
    """All that the page asks for from now on; Gradio's sign of life is not asked."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "heartbeat" not in request.url else None)
    return seen


def test_choosers_and_folded_settings_decide_what_runs(visit: Visit, demo: ui_server.Live) -> None:
    page = visit()
    page.locator("#method input").click()
    page.get_by_role("option", name="Zero-shot", exact=True).click()
    expect(page.get_by_label("number input for New tokens")).to_be_hidden()
    page.locator("#settings button").first.click()
    set_number(page, "New tokens", "16")
    expect(page.locator("#settings button").first).to_contain_text("up to 16 tokens")
    page.locator("#settings button").first.click()
    answered(page, "as chosen")
    result = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    assert (result.settings.method, result.settings.max_new_tokens) == ("zero_shot", 16)
    expect(column(page, "Base")).to_contain_text("prompted with")


def test_an_example_is_asked_by_one_click(visit: Visit) -> None:
    page = short(visit)
    label, text = EXAMPLES[1]
    page.get_by_role("button", name=label).click()
    expect(newest(page).locator(".turn-query")).to_have_text(text)
    expect(page.locator("#query textarea")).to_have_value(text)
    wait_for(page, "done")


def test_the_answer_is_coloured_and_counted_while_it_streams(visit: Visit) -> None:
    page = short(visit, tokens=600)
    ask(page, "colour as you go")
    expect(page.locator(MARKED).nth(20)).to_be_attached()
    expect(newest(page)).to_have_attribute("data-state", "running")
    expect(page.locator(".live .uv-legend b").first).to_have_text(re.compile(r"\d"))
    expect(page.locator(".live .uv-count").first).to_have_text(re.compile(r"n\s=\s\d+"))
    expect(page.locator(".live")).to_contain_text("Llama 2 7B")
    newest(page).locator(".turn-stop").click()
    wait_for(page, "done")
    for side in ("Base", "Aligned"):
        facts = column(page, side).locator(".uv-facts-line")
        expect(facts).to_contain_text(re.compile(r"tokens.*tokens/s.*first token after.*stopped by you"))


def test_contexts_colours_and_cards_ask_the_server_nothing(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "look into it")
    expect(page.locator("#room-line")).to_have_text("models ready")  # the last that the page asks by itself
    asked, runs = requests_of(page), len(demo.service.runs)
    live = page.locator(".live")
    open_more(page)
    for label in ("rank", "KL", "gap", "class"):
        live.get_by_label(label, exact=True).check()
    live.get_by_label("only shifted").check()
    live.get_by_label("only shifted").uncheck()
    tokens_of(page).nth(4).click()
    expect(page.get_by_role("region", name="Token card")).to_contain_text("token 5:")
    live.get_by_text("Every token as a table").click()
    expect(live.locator(".uv-token-table tbody tr")).to_have_count(tokens_of(page).count())
    assert asked == [] and len(demo.service.runs) == runs


def test_what_the_base_sees_is_switched_without_running_anything(visit: Visit, demo: ui_server.Live) -> None:
    page = visit("/?max_new_tokens=16")  # the URIAL prompt, so that the contexts differ
    answered(page, "with the prompt in sight")
    expect(page.locator("#room-line")).to_have_text("models ready")
    asked, live = requests_of(page), page.locator(".live")
    record = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    open_more(page)
    choices = live.get_by_role("group", name="How the answers are shown")
    for label, name in (("the URIAL prompt", "urial"), ("only the question", "zero_shot")):
        choices.get_by_label(label, exact=True).check()
        row = record.shift[name].tokens[0]
        expect(tokens_of(page).first).to_have_attribute("aria-label", re.compile(f"base rank {row.base_rank:,}"))
    choices.get_by_label("both", exact=True).check()
    expect(live.locator('[role="listbox"]:visible')).to_have_count(2)
    expect(live.locator(".uv-pane-title:visible")).to_have_text([re.compile("shifted$")] * 2)
    assert asked == []


def test_a_token_opens_by_pointing_touch_and_keys(visit: Visit) -> None:
    page = answered(short(visit, has_touch=True), "open a token")
    tokens, card = tokens_of(page), page.get_by_role("region", name="Token card")
    tokens.nth(2).hover()
    expect(page.locator(".live .uv-tip")).to_be_visible()
    tokens.nth(5).tap()
    expect(card).to_contain_text("token 6:")
    tokens.nth(5).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(card).to_contain_text("token 7:")
    for title in ("The base would have said", "The aligned model’s own list"):
        entries = card.locator(".uv-list", has_text=title).locator(".uv-entry:not(.uv-rest)")
        assert entries.count() in (10, 11)


def test_most_shifted_words_of_the_answer_and_of_the_visit(visit: Visit) -> None:
    page = answered(short(visit), "first of the visit")
    live = page.locator(".live")
    expect(live.get_by_text("Most shifted words in this answer")).to_be_visible()
    answered(page, "second of the visit")
    expect(live.get_by_text("Most shifted words of this visit (2 answers)")).to_be_visible()


def test_an_answer_that_stays_beside_a_new_draw_counts_once_in_the_visit(visit: Visit) -> None:
    """Again on the base leaves the aligned answer as it is; another question adds one answer, not two."""
    page = answered(short(visit), "count me once")
    tally = page.locator(".live").get_by_text("Most shifted words of this visit")
    once_more(page, "Base")
    expect(tally).to_be_hidden()
    answered(page, "and me too")
    expect(tally).to_have_text("Most shifted words of this visit (2 answers)")
    once_more(page, "Aligned")
    expect(tally).to_have_text("Most shifted words of this visit (3 answers)")


def test_another_draw_is_named_on_its_own_side_only(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "greedy, then drawn")
    once_more(page, "Base")
    expect(column(page, "Base").locator(".uv-facts-line")).to_contain_text("another draw, temperature 0.7, seed 1")
    expect(column(page, "Aligned").locator(".uv-facts-line")).not_to_contain_text("draw")
    record = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    page.locator(".live summary", has_text="What exactly was run").click()
    told = page.locator(".live .uv-fold", has_text="What exactly was run")
    expect(told).to_contain_text("sampled, temperature 0.7, top-p 1, at most 24 tokens, seed 1")
    expect(told).to_contain_text("greedy (temperature 0), at most 24 tokens, seed 0")
    expect(told).to_contain_text("--temperature 0 ")
    expect(told).to_contain_text("--base-temperature 0.7 --base-seed 1")
    expect(told).to_contain_text(command(record))


def test_what_was_run_is_told_in_full(visit: Visit, demo: ui_server.Live) -> None:
    page = answered(short(visit), "tell me all")
    record = demo.service.results.get(newest(page).get_attribute("data-result")).comparison()
    page.locator(".live summary", has_text="What exactly was run").click()
    told = page.locator(".live .uv-fold", has_text="What exactly was run")
    for text in (record.base.prompt, record.aligned.prompt):
        expect(told).to_contain_text(text.strip().splitlines()[-1])
    for side in (record.base, record.aligned):
        expect(told).to_contain_text(f"{len(side.prompt_ids)} tokens")
    expect(told).to_contain_text(command(record))
    expect(told.get_by_role("button", name=re.compile("Copy")).first).to_be_visible()
