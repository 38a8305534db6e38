"""The pictures of docs/teaching.md, of a class on the gallery: `python -m tests.browser.class_pictures [RECORD.json]`.

Those of the dial are of a saved comparison with switch points (`urial compare QUERY --save RECORD.json`).
"""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.chromium import executable
from tests.browser.classroom import PATIENCE, PHONE, Classroom, code_of, guess, is_saved, open_dial, press
from tests.support import class_server
from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "teaching"
NAMES = ("Ada", "Bruno", "Chiyo", "Dmitri", "Elif", "Farah", "علي", "小林", "", "Noor")
CHOICES = (0, 1, 2, 1, 0, 1, 3, 1, 2, 1)
GUESSES = (20, 35, 60, 80, 55, 70, 30, 65, 90)
EXTRA = {"device_scale_factor": 1.5}


def picture(page: Page, name: str, **options: object) -> None:
    page.wait_for_timeout(1500)  # what was answered last is counted
    page.mouse.move(0, 0)
    page.screenshot(path=FOLDER / f"{name}.png", **options)


def lesson(room: Classroom) -> None:
    host = room.open_room(title="What tuning changes")
    code = code_of(host)
    students = [room.join(code, name, **PHONE, **EXTRA) for name in NAMES]
    expect(host.locator(".stage .count")).to_have_text(f"{len(NAMES)} students", timeout=PATIENCE)
    picture(host, "lobby")
    press(host, "Begin")
    press(host, "Open")
    for number, student in enumerate(students[:-1]):
        words = student.locator("button.word")
        for each in range(number % 4 + 1):
            words.nth(each * 2 if number % 2 else each).click()
        student.get_by_role("button", name="Hand in").click()
        is_saved(student)
    picture(students[3], "predict")
    picture(host, "projector")
    press(host, "Close")
    press(host, "Reveal")
    expect(students[3].locator(".figures").first).to_be_visible(timeout=PATIENCE)
    picture(students[3], "reveal")
    picture(host, "heat")
    host.locator(".desk summary").click()
    host.locator(".desk ol button").nth(2).click()
    host.locator(".desk summary").click()
    press(host, "Open")
    for student, choice in zip(students, CHOICES, strict=True):
        student.locator(".choices button").nth(choice).click()
        is_saved(student)
    picture(students[1], "vote")
    press(host, "Reveal")
    expect(host.locator(".tally")).to_be_visible(timeout=PATIENCE)
    picture(host, "tally")
    japanese = room.page(f"?code={code}", locale="ja-JP", **PHONE, **EXTRA)
    japanese.locator("form button.primary").click()
    expect(japanese.locator(".tally")).to_be_visible(timeout=PATIENCE)
    picture(japanese, "japanese")


def dial(room: Classroom, record: Path) -> None:
    host = open_dial(room, record)
    host.locator("input[name=title]").fill("Turn the dial")
    host.locator(".chosen ~ button.primary").click()
    expect(host.locator(".code")).to_be_visible(timeout=PATIENCE)
    code = code_of(host)
    students = [room.join(code, name, **PHONE, **EXTRA) for name in NAMES]
    press(host, "Begin")
    press(host, "Open")
    for student, percent in zip(students, GUESSES, strict=False):
        expect(student.locator("mark.asked")).to_be_visible(timeout=PATIENCE)
        guess(student, percent)
    students[-1].get_by_role("button", name="It was there already").click()
    students[-1].get_by_role("button", name="Hand in").click()
    is_saved(students[-1])
    picture(students[3], "dial")
    press(host, "Reveal")
    expect(host.locator(".histogram")).to_be_visible(timeout=PATIENCE)
    host.set_viewport_size({"width": 1280, "height": 1080})  # the whole histogram
    picture(host, "dial-reveal")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        with class_server.running(Path(folder) / "class.sqlite", port):
            browser = playwright.chromium.launch(executable_path=executable(playwright), args=["--no-sandbox"])
            room = Classroom(browser, f"http://127.0.0.1:{port}/class/")
            lesson(room)
            if sys.argv[1:]:
                dial(room, Path(sys.argv[1]))
            browser.close()


if __name__ == "__main__":
    main()
