"""What can be kept and passed on: files, a saved file opened again, links; and the tabs that need no model."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.demo_page import PATIENCE, Visit, answered, newest, short, tokens_of, wait_for
from tests.support.records_builder import PLAIN, build
from tests.support.ui_server import GRADIO_WARNS, Live, live, tiny_service
from urial import records

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]


def test_a_comparison_downloads_in_four_forms(visit: Visit, demo: Live, tmp_path: Path) -> None:
    page = answered(short(visit), "Keep this, please!")
    saved = {}
    for kind in ("html", "json", "csv", "png"):
        with page.expect_download() as found:
            page.locator(f'.turn-keep [data-kind="{kind}"]').click()
        assert found.value.suggested_filename == f"urial-keep-this-please.{kind}"
        saved[kind] = Path(found.value.path()).read_bytes()
    record = records.from_json(saved["json"])
    assert record.query == "Keep this, please!"
    assert saved["html"].startswith(b"<!doctype html>")
    assert saved["csv"].count(b"\r\n") == 1 + sum(len(shift.tokens) for shift in record.shift.values())
    assert saved["png"].startswith(b"\x89PNG")


def test_a_saved_file_opens_without_any_model(visit: Visit, demo: Live, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(records.to_json(build(query="From a file")), encoding="utf-8")
    page = visit()
    runs = len(demo.service.runs)
    with page.expect_file_chooser() as chooser:
        page.locator("#open-saved").click()
    chooser.value.set_files(path)
    expect(newest(page).locator(".turn-query")).to_have_text("From a file")
    expect(tokens_of(page)).to_have_count(len(PLAIN) + 1)
    expect(page.locator(".turn-status")).to_contain_text("nothing was computed")
    assert len(demo.service.runs) == runs


@pytest.mark.parametrize("text", ["", "{}", "<html>", '{"schema": "urial.comparison/9"}'])
def test_a_wrong_file_is_one_sentence(visit: Visit, tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    page = visit()
    with page.expect_file_chooser() as chooser:
        page.locator("#open-saved").click()
    chooser.value.set_files(path)
    expect(page.locator("#page-notice")).to_contain_text("wrong.json")
    expect(page.locator(".turn")).to_have_count(0)


def test_a_picture_for_a_slide_has_peoples_names(visit: Visit, tmp_path: Path) -> None:
    page = answered(short(visit), "on a slide")
    page.locator(".live .uv-more").click()
    with page.expect_download() as found:
        page.locator(".live").get_by_role("button", name="as SVG").click()
    found.value.save_as(tmp_path / "slide.svg")
    words = "".join(ElementTree.parse(tmp_path / "slide.svg").getroot().itertext())
    assert "Tiny random models (tiny): the aligned answer, marked by rank" in words
    assert "tiny-llama-0" not in words and "on a slide" in words


def test_a_link_fills_the_form_and_runs_by_a_click(visit: Visit, demo: Live) -> None:
    page = visit("/?query=From%20a%20link%3F&pair=tiny&method=zero_shot&max_new_tokens=16&seed=7&temperature=0.5")
    expect(page.locator("#page-notice")).to_contain_text("This link brings a question")
    expect(page.locator("#query textarea")).to_have_value("From a link?")
    expect(page.locator("#settings button").first).to_contain_text("Settings: temperature 0.5, up to 16 tokens")
    expect(page.locator(".turn")).to_have_count(0)
    page.locator("#go").click()
    wait_for(page, "done")
    page.locator('[data-kind="link"]').click()
    link = page.url
    assert link.startswith(demo.url)
    again = visit(link.removeprefix(demo.url))
    expect(again.locator("#query textarea")).to_have_value("From a link?")
    again.locator("#go").click()
    wait_for(again, "done")
    expect(again.locator(".turn-status")).to_contain_text("From the cache")


def test_a_link_works_on_a_server_that_has_never_seen_it(chromium: Browser, visit: Visit, demo: Live) -> None:
    page = answered(short(visit, tokens=16), "after a restart?")
    page.locator('[data-kind="link"]').click()
    expect(page).to_have_url(re.compile("after"))
    link = page.url.removeprefix(demo.url)
    with live(tiny_service()) as restarted:
        again = chromium.new_page()
        again.goto(restarted.url + link, timeout=PATIENCE)
        expect(again.locator("#page-notice")).to_contain_text("This link brings a question", timeout=PATIENCE)
        again.locator("#go").click()
        wait_for(again, "done")
        expect(again.locator(".turn-query")).to_have_text("after a restart?")
        expect(again.locator(".turn-status")).to_be_empty()
        first, second = (each.locator(".live .uv-plain").first.text_content() for each in (page, again))
        assert first == second
        again.close()


def test_wrong_values_of_a_link_are_named(visit: Visit) -> None:
    page = visit("/?query=x&pair=nobody&temperature=hot&other=1")
    expect(page.locator("#page-notice")).to_contain_text("left out: pair, temperature")
    expect(page.locator("#query textarea")).to_have_value("x")


def test_the_gallery_opens_recordings_without_any_model(visit: Visit, demo: Live) -> None:
    page = visit()
    runs = len(demo.service.runs)
    page.get_by_role("tab", name="Gallery").click()
    cards = page.locator(".shelf-card")
    expect(cards).to_have_count(2)
    cards.nth(1).click()
    shown = page.locator(".shown")
    expect(shown.locator(".shown-query")).to_have_text("And another?")
    expect(shown.locator("[role=option]").first).to_be_visible()
    shown.get_by_role("button", name="Turn 1").click()
    expect(shown.locator(".shown-query")).not_to_have_text("And another?")
    shown.get_by_role("button", name="Ask this yourself").click()
    expect(page.locator("#query textarea")).to_have_value(build().query)
    page.get_by_role("tab", name="Gallery").click()
    shown.get_by_role("button", name="All recordings").click()
    expect(cards.first).to_be_focused()
    assert len(demo.service.runs) == runs


def test_learn_explains_with_a_recorded_answer(visit: Visit) -> None:
    page = visit()
    page.get_by_role("tab", name="Learn").click()
    text = page.locator("#learn-text")
    expect(text).to_contain_text("Where it fails")
    expect(text).to_contain_text("Code and mathematics")
    expect(page.locator('[data-host="learn"] [role=option]').first).to_be_visible()
    words = text.locator("dfn")
    words.first.focus()
    assert all(len(words.nth(index).get_attribute("data-says") or "") > 20 for index in range(words.count()))
