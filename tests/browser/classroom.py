"""A class in Chromium: one host, and students in contexts of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect

PATIENCE = 45_000
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
WIDE = {"viewport": {"width": 1280, "height": 800}}


@dataclass
class Classroom:
    """`address` ends in /class/. Errors of scripts are gathered in `problems`."""

    chromium: Browser
    address: str
    problems: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def page(self, path: str = "", **options: object) -> Page:
        context = self.chromium.new_context(**{**WIDE, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(self.address + path)
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()

    def open_room(self, chosen: str = "What tuning changes", title: str = "Class 7b", **options: object) -> Page:
        """The host's page of a new room with a ready set."""
        host = self.page("host", **options)
        host.locator("input[name=title]").fill(title)
        host.locator(".sets li", has_text=chosen).get_by_role("button").click()
        expect(host.locator(".chosen li").first).to_be_visible(timeout=PATIENCE)  # a dial's words are asked for first
        host.locator(".chosen ~ button.primary").click()
        expect(host.locator(".code")).to_be_visible(timeout=PATIENCE)
        return host

    def join(self, code: str, nickname: str = "", **options: object) -> Page:
        student = self.page(f"?code={code}", **options)
        student.locator("input[name=nickname]").fill(nickname)
        student.locator("form button.primary").click()
        expect(student.locator("form")).to_have_count(0, timeout=PATIENCE)
        return student


def open_dial(room: Classroom, record: Path, **options: object) -> Page:
    """The host's page of a new room with one dial of a record of the teacher's own."""
    host = room.page("host", **options)
    host.locator("input[type=file]").set_input_files(record)
    host.locator("input[type=file] + .offers").get_by_role("button", name=re.compile("Turn the dial|ダイヤル")).click()
    expect(host.locator(".chosen .word-choice select")).to_be_visible(timeout=PATIENCE)
    return host


def guess(student: Page, percent: int) -> None:
    student.locator("input[type=range]").fill(str(percent))
    student.get_by_role("button", name="Hand in").click()
    is_saved(student)


def code_of(host: Page) -> str:
    return host.locator(".code [aria-hidden]").inner_text()


def press(host: Page, name: str) -> None:
    """A button of the host's bottom row, once it is there."""
    host.locator(".bottom").get_by_role("button", name=name, exact=True).click()


def tap(student: Page, count: int) -> None:
    """Tap the first words and hand them in."""
    for number in range(count):
        student.locator("button.word").nth(number).click()
    student.get_by_role("button", name="Hand in").click()


def is_saved(student: Page) -> None:
    expect(student.locator("#told")).to_contain_text("Saved", timeout=PATIENCE)


def fits(page: Page) -> bool:
    """Whether nothing scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
