"""A class in real browsers: a whole lesson with thirty, a kill in the middle, phones, two languages, hostile names."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.classroom import PATIENCE, PHONE, Classroom, code_of, fits, guess, is_saved, open_dial, press, tap
from tests.support import class_server, ui_server
from tests.support.records_builder import HOSTILE, build
from tests.support.ui_proxy import proxied
from tests.support.ui_server import GRADIO_WARNS
from urial import records
from urial.workshop.routes import workshop_file

pytestmark = [pytest.mark.browser, *GRADIO_WARNS]

STUDENTS = 30


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def room(chromium: Browser, tmp_path: Path) -> Iterator[Classroom]:
    port = free_port()
    with class_server.running(tmp_path / "class.sqlite", port):
        found = Classroom(chromium, f"http://127.0.0.1:{port}/class/")
        yield found
        found.close()
        assert found.problems == []


@pytest.mark.timeout(900)
def test_a_whole_lesson_with_thirty_and_a_kill_in_the_middle(chromium: Browser, tmp_path: Path) -> None:
    path, port = tmp_path / "class.sqlite", free_port()
    process = class_server.start(path, port)
    room = Classroom(chromium, f"http://127.0.0.1:{port}/class/")
    try:
        host = room.open_room()
        code = code_of(host)
        students = [room.join(code, f"S{n}", **(PHONE if n % 3 == 0 else {})) for n in range(STUDENTS)]
        expect(host.locator(".stage .count")).to_have_text("30 students", timeout=PATIENCE)
        press(host, "Begin")
        press(host, "Open")
        for number, student in enumerate(students[:20]):
            tap(student, number % 5)
        for student in students[:20]:
            is_saved(student)
        students[25].locator("button.word").first.click()  # tapped, not handed in

        process.send_signal(signal.SIGKILL)
        process.wait()
        students[20].locator("button.word").nth(1).click()
        students[20].get_by_role("button", name="Hand in").click()  # while nobody answers
        expect(students[20].locator("#told")).to_contain_text("Not saved yet")
        process = class_server.start(path, port)
        is_saved(students[20])
        students[3].reload()
        expect(students[3].locator("button.word[aria-pressed=true]")).to_have_count(3)
        students[25].reload()
        expect(students[25].locator("button.word[aria-pressed=true]")).to_have_count(1)
        tap(students[25], 0)
        is_saved(students[25])
        expect(host.locator(".bottom .count")).to_have_text("22 of 30 have answered", timeout=PATIENCE)
        host.reload()  # the host's link is kept
        press(host, "Close")
        expect(students[29].locator(".closed")).to_be_visible(timeout=PATIENCE)
        press(host, "Reveal")
        for student in students:
            expect(student.locator(".figures").first).to_be_visible(timeout=PATIENCE)
        expect(students[3].locator(".figures tbody tr").first).to_contain_text("of 3")
        assert host.locator("mark.heat").count() >= 4

        host.locator(".desk summary").click()
        host.locator(".desk ol button").nth(2).click()
        press(host, "Open")
        for number, student in enumerate(students):
            student.locator(".choices button").nth(number % 4).click()
        for student in students:
            is_saved(student)
        press(host, "Reveal")
        expect(host.locator(".tally caption")).to_have_text("30 votes", timeout=PATIENCE)
        counts = [int(cell) for cell in host.locator(".tally tbody td:nth-child(2)").all_inner_texts()]
        assert sum(counts) == 30 and counts[1] == 7 and counts[2] == 7
        expect(students[0].locator(".tally caption")).to_have_text("30 votes", timeout=PATIENCE)
        assert (
            "Wilson" in students[0].locator(".tally").inner_text()
            and "71.1%" in students[0].locator(".tally").inner_text()
        )
        assert all(fits(page) for page in (students[0], students[1], host))

        page = students[0].context.new_page()
        page.goto(students[0].locator(".home a").first.evaluate("link => link.href"))
        expect(page.locator(".card")).to_have_count(2)
        assert room.problems == []
    finally:
        room.close()
        process.kill()
        process.wait()


def no_finding(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [f"{each['id']}: {each['nodes'][0]['html'][:300]}" for each in found] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_for_host_and_student(room: Classroom, scheme: str) -> None:
    start = room.page("host", color_scheme=scheme)
    expect(start.locator(".sets")).to_be_visible()
    no_finding(start)
    host = room.open_room(color_scheme=scheme)
    joining = room.page(f"?code={code_of(host)}", color_scheme=scheme, **PHONE)
    expect(joining.locator("form")).to_be_visible()
    no_finding(joining)
    student = room.join(code_of(host), "Ada", color_scheme=scheme, **PHONE)
    for page in (host, student):
        no_finding(page)
    press(host, "Begin")
    press(host, "Open")
    tap(student, 3)
    is_saved(student)
    no_finding(student)
    no_finding(host)
    press(host, "Reveal")
    host.locator(".desk summary").click()
    for page in (host, student):
        expect(page.locator(".figures").first).to_be_visible()
        no_finding(page)
    host.locator(".desk ol button").nth(2).click()
    press(host, "Open")
    student.locator(".choices button").first.click()
    is_saved(student)
    no_finding(student)
    press(host, "Reveal")
    for page in (host, student):
        expect(page.locator(".tally")).to_be_visible()
        no_finding(page)
        page.set_viewport_size({"width": 320, "height": 640})
        assert fits(page)


def test_a_secret_is_not_left_in_the_address_of_a_projector(room: Classroom) -> None:
    host = room.open_room()
    code = code_of(host)
    assert host.url.endswith(f"#{code}")
    kept = host.evaluate("JSON.parse(localStorage['urial-class-rooms'])")[code]
    elsewhere = room.page(f"host#{code}.{kept['host']}.{kept['entry']}")  # the host's link on another device
    expect(elsewhere.locator(".code [aria-hidden]")).to_have_text(code)
    assert kept["host"] not in elsewhere.url
    stranger = room.page(f"host#{code}.wrong")
    expect(stranger.locator("#told")).to_contain_text("does not open a class")


def test_japanese_by_the_browser_and_by_the_switch(room: Classroom) -> None:
    host = room.open_room()
    code = code_of(host)
    student = room.page(f"?code={code}", locale="ja-JP", **PHONE)
    expect(student.locator("h1")).to_have_text("教室に参加する")
    student.locator("form button.primary").click()
    expect(student.locator("h1")).to_have_text("参加しました")
    student.locator("select.language").select_option("en")
    expect(student.locator("h1")).to_have_text("You are in")
    assert student.evaluate("document.documentElement.lang") == "en"
    host.locator("select.language").select_option("ja")
    expect(host.locator(".stage .count")).to_have_text("生徒 1 人")


def test_hostile_names_are_shown_as_text(room: Classroom) -> None:
    host = room.open_room(title=HOSTILE[0])
    code = code_of(host)
    for name in HOSTILE:
        page = room.page()
        status = page.evaluate(
            """async ([code, nickname]) => (await fetch("api/join", {method: "POST",
               headers: {"content-type": "application/json"}, body: JSON.stringify({code, nickname})})).status""",
            [code, name],
        )
        assert status == 200
        page.context.close()
    expect(host.locator(".stage .count")).to_have_text(f"{len(HOSTILE)} students", timeout=PATIENCE)
    host.locator(".desk summary").click()
    assert "<script>" in host.locator("#bar strong").inner_text()
    assert host.locator("#root script, #root iframe, #root img:not(.corner img), #root style, #root base").count() == 0
    assert host.evaluate("window.__pwned") is None
    for width in (1280, 390):
        host.set_viewport_size({"width": width, "height": 800})
        assert fits(host)


def test_the_class_is_a_tab_of_the_page_and_works_behind_a_proxy(chromium: Browser, tmp_path: Path) -> None:
    found = workshop_file(tmp_path / "class.sqlite")
    from urial.ui.page import launch_arguments

    launch = {"root_path": "/demo", **launch_arguments(workshop=found)}
    with ui_server.live(ui_server.tiny_service(), launch, workshop=found) as demo, proxied(demo.url, "/demo") as url:
        room = Classroom(chromium, f"{url}/class/")
        page = room.page("../")
        page.get_by_role("tab", name="Class").click()
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Open a class").click()
        expect(opened.value.locator(".sets")).to_be_visible(timeout=PATIENCE)
        assert opened.value.url == f"{url}/class/host"
        host = room.open_room()
        code = code_of(host)
        expect(host.locator(".corner img")).to_have_attribute("src", re.compile("^data:image/svg"), timeout=PATIENCE)
        source = unquote(host.locator(".corner img").get_attribute("src") or "")
        assert source.startswith("data:image/svg+xml,<svg")
        page.locator("#class-code").fill(code.lower())
        with page.context.expect_page() as joined:
            page.get_by_role("button", name="Join").click()
        joined.value.locator("form button.primary").click()
        expect(joined.value.locator("h1")).to_have_text("You are in", timeout=PATIENCE)
        expect(host.locator(".stage .count")).to_have_text("1 student", timeout=PATIENCE)
        assert room.problems == []
        room.close()
    found.database.close()


@pytest.fixture
def dialled(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(records.to_json(build()), encoding="utf-8")
    return path


def test_a_class_turns_the_dial(room: Classroom, dialled: Path) -> None:
    host = open_dial(room, dialled)
    host.locator(".chosen .word-choice select").select_option(label="tips:")
    host.locator(".chosen ~ button.primary").click()
    students = [room.join(code_of(host), f"S{n}", **PHONE) for n in range(3)]
    press(host, "Begin")
    press(host, "Open")
    expect(host.locator(".stage mark.asked")).to_have_text("tips:")
    for student in students:
        expect(student.locator("mark.asked")).to_have_text("tips:", timeout=PATIENCE)
        expect(student.get_by_role("button", name="Hand in")).to_be_disabled()  # nothing is chosen yet
    guess(students[0], 35)
    students[1].get_by_role("button", name="It was there already").click()
    expect(students[1].locator(".dial-value")).to_have_text("0%")
    students[1].reload()  # what is chosen and not handed in is kept
    expect(students[1].locator(".dial-value")).to_have_text("0%")
    students[1].get_by_role("button", name="Hand in").click()
    is_saved(students[1])
    expect(host.locator(".bottom .count")).to_have_text("2 of 3 have answered", timeout=PATIENCE)
    press(host, "Reveal")
    for page in (host, *students):
        expect(page.locator(".histogram caption")).to_have_text("2 guesses", timeout=PATIENCE)
        assert page.locator(".histogram tbody td:nth-child(2)").all_inner_texts() == ["1", *"000100000", "0"]
        expect(page.locator(".true-bin")).to_have_count(1)
        no_finding(page)
        assert fits(page)
    expect(students[0].locator(".histogram tbody tr").nth(4)).to_contain_text("your guess")
    expect(students[2].locator(".histogram tbody")).not_to_contain_text("your guess")
    home = students[0].context.new_page()
    home.goto(students[0].locator(".home a").first.evaluate("link => link.href"))
    expect(home.locator(".histogram caption")).to_have_text("2 guesses")
    no_finding(home)


def test_a_record_without_switch_points_is_refused_before_the_class_is_opened(room: Classroom, tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(records.to_json(build(exact=False)), encoding="utf-8")
    host = room.page("host")
    host.locator("input[type=file]").set_input_files(path)
    host.locator("input[type=file] + .offers").get_by_role("button", name="Turn the dial").click()
    expect(host.locator("#told")).to_contain_text("needs switch points")
    expect(host.locator(".chosen li")).to_have_count(0)
