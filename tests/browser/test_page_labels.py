"""On the live page: a guard's chip a side, once the answers have ended; and System 2 Attention, said while it runs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.demo_page import Visit, ask, column, newest, once_more, settled, visit, wait_for  # noqa: F401
from tests.support import ui_server
from tests.support.judge_server import JudgeServer, Text
from urial.judge.guard_now import Guard
from urial.pairs import GuardSpec, ServerSpec

pytestmark = [pytest.mark.browser, *ui_server.GRADIO_WARNS]

HOSTILE = "<img src=x onerror=window.__pwned=1>guard"


class Scripted:
    """Labels wait until they are let go; an answer is unsafe, a question safe."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()

    def __call__(self, body: dict[str, Any]) -> Text:
        self.may_answer.wait(60)
        if body["messages"][-1]["role"] == "user":
            return Text("safe")
        told = {"content": [{"token": "unsafe", "logprob": -0.1}]}
        return Text("unsafe\nS2", {"logprobs": told})


@pytest.fixture(scope="module")
def guard() -> Iterator[tuple[Scripted, str]]:
    scripted = Scripted()
    with JudgeServer(raw=scripted) as server:
        yield scripted, server.url


@pytest.fixture(scope="module")
def demo(guard: tuple[Scripted, str]) -> Iterator[ui_server.Live]:
    service = ui_server.tiny_service()
    spec = ServerSpec(base_url=guard[1], model=HOSTILE)
    service.guard = Guard(GuardSpec(server=spec, template="llama_guard_3"))
    with ui_server.live(service) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_one_quiet_chip_a_side_after_the_answers(
    visit: Visit,  # noqa: F811
    guard: tuple[Scripted, str],
    tmp_path: Any,
    width: int,
    scheme: str,
) -> None:
    guard[0].may_answer.clear()
    page = visit("/?method=zero_shot&max_new_tokens=24", viewport={"width": width, "height": 900}, color_scheme=scheme)
    ask(settled(page, 24), f"Is this labelled at {width}?")
    wait_for(page, "done")  # nothing waits for the guard
    chips = page.locator(".live .uv-label")
    expect(chips).to_have_count(0)
    guard[0].may_answer.set()
    expect(chips).to_have_count(2)
    for chip in chips.all():
        assert "unsafe, S2 non-violent crimes (90 %)" in chip.inner_text() and HOSTILE[:20] in chip.inner_text()
    page.screenshot(path=tmp_path / f"chip-{width}-{scheme}.png", full_page=True)
    page.locator(".live .uv-fold-title", has_text="What exactly was run").click()
    expect(page.locator(".live .uv-run")).to_contain_text("question safe; base unsafe")
    assert page.evaluate("window.__pwned") is None and page.locator(".live img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    once_more(page, "Aligned")
    expect(chips).to_have_count(2)


def test_system_2_attention_is_chosen_said_while_it_runs_and_its_fallback_is_said(
    visit: Visit,  # noqa: F811
    slowly: None,
    tmp_path: Any,
) -> None:
    page = settled(visit("/?method=zero_shot&max_new_tokens=24"), 24)
    page.locator("#settings button").first.click()
    questions = page.locator("#s2a-questions input")
    expect(questions).to_be_hidden()
    page.get_by_label("first rewrite it without opinion").check()
    expect(page.locator("#settings button").first).to_contain_text("question rewritten first")
    expect(questions).to_be_visible()
    questions.click()
    page.screenshot(path=tmp_path / "s2a-settings.png", full_page=True)
    page.get_by_role("option", name="distraction: Mia has 6 apples").click()
    box = page.locator("#query textarea")
    expect(box).not_to_have_value("")
    assert box.input_value().startswith("Mia has 6 apples.")
    page.locator("#go").click()
    expect(newest(page).locator(".turn-status")).to_contain_text("rewrites the question first")
    wait_for(page, "done")
    note = page.locator(".live .uv-note", has_text="System 2 Attention")
    expect(note).to_contain_text("the question was asked as it stands")  # random models rewrite nothing
    page.locator(".live .uv-fold-title", has_text="What exactly was run").click()
    expect(page.locator(".live .uv-fold[open]")).to_contain_text("What that call wrote")
    page.screenshot(path=tmp_path / "s2a.png", full_page=True)
    page.locator(".turn-keep [data-kind=link]").last.click()
    expect(page).to_have_url(re.compile("aligned_method=s2a"))
    again = visit(page.url.replace(page.url.split("/?")[0], ""))
    again.locator("#settings button").first.click()
    expect(again.get_by_label("first rewrite it without opinion")).to_be_checked()
