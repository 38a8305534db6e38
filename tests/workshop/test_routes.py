"""A class over HTTP: joining, cookies, what strangers can do, a kill in the middle, exports, and hostile text."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette

from tests.support import class_server
from tests.support.paths import ROOT
from tests.support.records_builder import HOSTILE, build
from tests.support.ui_server import write_gallery
from tests.support.workshop import TurnedClock
from urial import records
from urial.workshop.guard import Guard
from urial.workshop.rooms import DAY, open_store
from urial.workshop.routes import Class, class_routes
from urial.workshop.shelf import Shelf

Client = httpx.Client


class School:
    """The class's addresses in this process, with as many browsers as a test wants."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "class.sqlite"
        self.clock = TurnedClock()
        gallery = folder / "gallery"
        gallery.mkdir()
        codes = Guard(20, 60.0, "tries", self.clock)
        self.found = Class(open_store(str(self.path)), Shelf(write_gallery(gallery)), self.clock, codes)
        self.app = Starlette(routes=class_routes(self.found))

    def browser(self, address: str = "192.0.2.1") -> Browser:
        return Browser(self.app, address)


class Browser:
    """One browser with its cookies, at an address."""

    def __init__(self, app: Starlette, address: str) -> None:
        self._app, self.address, self._cookies = app, address, httpx.Cookies()

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        import anyio

        async def work() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=(self.address, 1))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://school/class", cookies=self._cookies
            ) as client:
                answered = await client.request(method, path, **given)
                self._cookies = client.cookies
                return answered

        return anyio.run(work)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.ask("GET", path, **given)

    def post(self, path: str, data: dict[str, Any], host: str = "") -> httpx.Response:
        return self.ask("POST", path, json=data, headers=bearer(host))

    def join(self, code: str, nickname: str = "", **more: str) -> httpx.Response:
        return self.post("/api/join", {"code": code, "nickname": nickname, **more})


def bearer(host: str) -> dict[str, str]:
    return {"authorization": f"Bearer {host}"} if host else {}


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path)


ITEMS = [
    {"kind": "predict", "entry": "00/1"},
    {"kind": "vote", "entry": "01/2"},
    {"kind": "dial", "entry": "00/1", "word": 1},
]


def opened(school: School, title: str = "Class 7b", items: list[dict[str, Any]] = ITEMS) -> dict[str, str]:
    found = school.browser().post("/api/rooms", {"title": title, "items": items, "aspects": True})
    assert found.status_code == 200, found.text
    return found.json()


def step(school: School, room: dict[str, str], action: str, **data: Any) -> None:
    found = school.browser().post("/api/host/step", {"code": room["code"], "action": action, **data}, room["host"])
    assert found.status_code == 200, found.text


def vote(browser: Browser, room: dict[str, str], number: int, answer: dict[str, Any]) -> httpx.Response:
    return browser.post("/api/answer", {"code": room["code"], "item": number, "answer": answer})


def key_of(found: httpx.Response) -> str:
    return found.json()["key"]


# Joining


def test_the_cookie_is_out_of_reach_of_scripts(school: School) -> None:
    found = school.browser().get("/")
    (cookie,) = found.headers.get_list("set-cookie")
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie and "Secure" not in cookie
    (cookie,) = school.browser().get("/", headers={"x-forwarded-proto": "https"}).headers.get_list("set-cookie")
    assert "Secure" in cookie


def test_a_reload_and_a_second_tab_are_the_same_student(school: School) -> None:
    room = opened(school)
    phone = school.browser()
    phone.get("/")
    phone.join(room["code"], "Ada")
    assert phone.get("/").headers.get_list("set-cookie") == []
    phone.address = "198.51.100.9"  # another network
    phone.join(room["code"])
    seen = school.browser().get(f"/api/host?code={room['code']}&seen=", headers=bearer(room["host"])).json()
    assert [each["nickname"] for each in seen["students"]] == ["Ada"]


def test_a_code_is_taken_as_people_type_it(school: School) -> None:
    room = opened(school)
    code = room["code"]
    assert school.browser().join(f" {code[:3].lower()} {code[3:]}-").json() == {"code": code}


def test_no_code_is_guessed_faster_than_twenty_times_a_minute(school: School) -> None:
    room = opened(school)
    stranger = school.browser("203.0.113.5")
    for _ in range(20):
        assert stranger.join("ABCDEF").status_code == 404
        school.clock.now += 1
    refused = stranger.join("ABCDEF")
    assert refused.status_code == 429 and key_of(refused) == "refused.tries"
    assert school.browser("203.0.113.5").join(room["code"]).status_code == 429  # a new cookie is no new address
    school.clock.now += 40
    assert school.browser("203.0.113.5").join(room["code"]).status_code == 200


def test_a_school_behind_one_address_is_not_held_back(school: School) -> None:
    room = opened(school)
    joined = school.browser("203.0.113.5")
    assert joined.join(room["code"]).status_code == 200
    for _ in range(100):
        assert school.browser("203.0.113.5").join(room["code"]).status_code == 200
    for _ in range(20):
        assert school.browser("203.0.113.5").join("ABCDEF").status_code == 404
    assert joined.join(room["code"], "Ada").status_code == 200  # who is in, stays in
    assert joined.get(f"/api/state?code={room['code']}&seen=").status_code == 200
    scanned = school.browser("203.0.113.5").join(room["code"], entry=room["entry"])
    assert scanned.status_code == 200  # the QR code needs no guess
    assert school.browser("203.0.113.5").join(room["code"], entry="wrong").status_code == 429


def test_a_whole_school_that_joins_at_the_same_moment_is_let_in(school: School) -> None:
    """Behind one address, some of them mistyping, all in flight at once."""
    import anyio

    code, statuses = opened(school)["code"], []

    async def join(number: int) -> None:
        transport = httpx.ASGITransport(school.app, client=("203.0.113.5", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://school/class") as client:
            typed = "ABCDEF" if number < 19 else code
            statuses.append((await client.post("/api/join", json={"code": typed})).status_code)

    async def all_at_once() -> None:
        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(join, number)

    anyio.run(all_at_once)
    assert (statuses.count(200), statuses.count(404)) == (181, 19)


def test_no_address_but_joining_tells_whether_a_code_is_right(school: School) -> None:
    room, stranger = opened(school), school.browser()
    stranger.get("/")
    for path in ("/api/state?seen=&code=", "/home?code=", "/api/host?seen=&code=", "/api/host/export?form=json&code="):
        right, wrong = stranger.get(path + room["code"]), stranger.get(path + "ABCDEF")
        assert (right.status_code, right.json()) == (wrong.status_code, wrong.json()) and right.status_code == 403


# What may be done


def test_no_vote_after_closing_and_none_of_others_before_the_reveal(school: School) -> None:
    room = opened(school)
    students = [school.browser() for _ in range(3)]
    for number, student in enumerate(students):
        student.join(room["code"], f"S{number}")
    step(school, room, "goto", number=1)
    step(school, room, "open")
    for student, choice in zip(students, ("a", "b", "bad"), strict=True):
        assert vote(student, room, 1, {"choice": choice}).json() == {"accepted": True}
    before = students[0].get(f"/api/state?code={room['code']}&seen=").json()
    assert set(before) == {"code", "title", "phase", "of", "item", "version", "you", "mine", "question"}
    assert set(before["question"]) == {"a", "b", "aspects"}
    empty = students[0].get(f"/home?code={room['code']}").text
    assert "S1" not in empty and "Nothing was revealed yet" in empty
    step(school, room, "close")
    refused = vote(students[0], room, 1, {"choice": "tie"})
    assert refused.status_code == 409 and key_of(refused) == "refused.closed"
    step(school, room, "reveal")
    after = students[0].get(f"/api/state?code={room['code']}&seen=").json()
    assert after["reveal"]["tally"]["n"] == 3 and "S1" not in json.dumps(after)
    stranger = vote(school.browser(), room, 1, {"choice": "a"})
    assert stranger.status_code == 403


def test_a_view_that_has_not_changed_is_not_sent_again(school: School) -> None:
    room, student = opened(school), school.browser()
    student.join(room["code"])
    version = student.get(f"/api/state?code={room['code']}&seen=").json()["version"]
    same = student.get(f"/api/state?code={room['code']}&seen={version}")
    assert same.status_code == 204 and same.content == b"" and same.headers["cache-control"] == "no-store"
    step(school, room, "goto", number=0)
    assert student.get(f"/api/state?code={room['code']}&seen={version}").status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"code=ABCDEF", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"code": "' + b"A" * 70_000 + b'"}', "application/json", 413),
        (b'{"code": {"a": [1]}, "nickname": {"b": 2}, "entry": []}', "application/json", 404),
    ],
)
def test_a_request_of_another_form_is_one_sentence(school: School, content: bytes, kind: str, status: int) -> None:
    for path in ("/api/join", "/api/answer", "/api/host/step", "/api/host/delete", "/api/host/qr"):
        found = school.browser().ask("POST", path, content=content, headers={"content-type": kind})
        assert found.status_code in (status, 403, 400) and found.json()["error"].endswith(".")
    assert (
        school.browser().ask("POST", "/api/join", content=content, headers={"content-type": kind}).status_code == status
    )


@pytest.mark.parametrize("name", ["../routes.py", "..%2froutes.py", "student.html", "en.json", "", "nothing.js", "%00"])
def test_only_the_class_own_files_are_given(school: School, name: str) -> None:
    assert school.browser().get(f"/assets/{name}").status_code == 404


def test_the_pages_run_no_script_but_their_own(school: School) -> None:
    for path in ("/", "/host"):
        page = school.browser().get(path)
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert "'unsafe" not in page.headers["content-security-policy"]
        assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", page.text) == []
    assert school.browser().ask("GET", "http://school/class?code=X").headers["location"] == "class/?code=X"


# Items


def test_a_teachers_own_comparisons_and_lines_of_a_corpus_can_be_asked(school: School) -> None:
    record = json.loads(records.to_json(build(query="Mine?")))
    corpus = {**record, "corpus": {"key": "k", "id": "1", "method": "urial", "tags": {}}}
    items = [{"kind": "vote", "record": record, "title": "mine.json"}, {"kind": "predict", "record": corpus}]
    room = opened(school, items=items)
    seen = school.browser().get(f"/api/host?code={room['code']}&seen=", headers=bearer(room["host"])).json()
    assert [item["query"] for item in seen["items"]] == ["Mine?", "Mine?"]


@pytest.mark.parametrize(
    "items",
    [[], [1], [{}], [{"kind": "vote"}], [{"kind": "x", "entry": "00/1"}], [{"kind": "vote", "record": {"a": 1}}], "x"],
)
def test_a_room_of_wrong_items_is_refused_in_one_sentence(school: School, items: object) -> None:
    found = school.browser().post("/api/rooms", {"items": items})
    assert found.status_code == 400 and found.json()["error"].endswith(".")


def test_the_ready_sets_are_of_recordings_that_are_there() -> None:
    shelf = Shelf()
    assert [each["id"] for each in shelf.listed()["sets"]] == ["tuning", "safety", "fails"]
    for each in shelf.sets:
        for item in each["items"]:
            shelf.item(item, aspects=True)


def test_no_address_fills_the_file_with_rooms(school: School) -> None:
    for _ in range(40):
        opened(school)
    refused = school.browser().post("/api/rooms", {"items": ITEMS})
    assert refused.status_code == 429 and key_of(refused) == "refused.many_rooms"


def test_the_qr_code_holds_the_address(school: School) -> None:
    room = opened(school)
    address = f"http://school/class/?code={room['code']}&entry={room['entry']}"
    asked = {"code": room["code"], "address": address}
    found = school.browser().post("/api/host/qr", asked, room["host"])
    assert found.headers["content-type"].startswith("image/svg") and found.text.startswith("<svg")
    assert school.browser().post("/api/host/qr", asked).status_code == 403
    asked["address"] = "javascript:alert(1)"
    assert school.browser().post("/api/host/qr", asked, room["host"]).status_code == 400


# A kill in the middle


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_after_kill_9_rooms_votes_and_the_hosts_link_are_as_they_were(tmp_path: Path) -> None:
    """Each accepted vote is on disk: the server is killed while it still takes votes."""
    path, port = tmp_path / "class.sqlite", free_port()
    address = f"http://127.0.0.1:{port}/class"
    process = class_server.start(path, port)
    room = httpx.post(f"{address}/api/rooms", json={"items": [{"kind": "vote", "entry": "arctic/1"}]}).json()
    host = bearer(room["host"])
    students = [httpx.Client() for _ in range(12)]
    for number, student in enumerate(students):
        student.post(f"{address}/api/join", json={"code": room["code"], "nickname": f"S{number}"}).raise_for_status()
    for step in ({"action": "goto", "number": 0}, {"action": "open"}):
        httpx.post(f"{address}/api/host/step", json={"code": room["code"], **step}, headers=host).raise_for_status()
    accepted = 0
    for student in students[:7]:
        answered = student.post(
            f"{address}/api/answer", json={"code": room["code"], "item": 0, "answer": {"choice": "a"}}
        )
        accepted += answered.json()["accepted"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(httpx.TransportError):
        students[7].get(f"{address}/")
    with class_server.running(path, port):
        seen = httpx.get(f"{address}/api/host", params={"code": room["code"]}, headers=host).json()
        assert (seen["answered"], accepted, seen["phase"]) == (7, 7, "open")
        assert [each["nickname"] for each in seen["students"]] == [f"S{number}" for number in range(12)]
        again = students[0].get(f"{address}/api/state", params={"code": room["code"]}).json()
        assert again["mine"]["choice"] == "a" and again["you"] == "S0"
        late = students[7].post(
            f"{address}/api/answer", json={"code": room["code"], "item": 0, "answer": {"choice": "b"}}
        )
        assert late.json() == {"accepted": True}
    for student in students:
        student.close()


# Exports

WORKSHOP = {
    "type": "object",
    "required": ["schema", "rooms"],
    "properties": {
        "schema": {"const": "urial.workshop/1"},
        "rooms": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "items"],
                "properties": {
                    "items": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["kind"],
                            "properties": {
                                "votes": {"type": "array", "items": {"required": ["voter", "winner", "choice"]}},
                                "predictions": {"type": "array", "items": {"required": ["voter", "words"]}},
                                "guesses": {"type": "array", "items": {"required": ["voter", "word", "percent"]}},
                            },
                        },
                    }
                },
            },
        },
    },
}


@pytest.fixture
def taught(school: School) -> Iterator[tuple[School, dict[str, str], list[Browser]]]:
    """A class that has answered all items, with hostile names."""
    room = opened(school, title=HOSTILE[-4])
    students = [school.browser() for _ in HOSTILE]
    for student, name in zip(students, HOSTILE, strict=True):
        assert student.join(room["code"], name).status_code == 200
    answers = ({"words": [0]}, {"choice": "a", "aspects": {"safety": "tie"}}, {"percent": 40})
    for number, answer in enumerate(answers):
        step(school, room, "goto", number=number)
        step(school, room, "open")
        for student in students:
            assert vote(student, room, number, answer).status_code == 200
        step(school, room, "reveal")
    yield school, room, students


def test_the_command_gives_everything_without_names(taught: tuple[School, dict[str, str], list[Browser]]) -> None:
    school, room, students = taught
    command = [sys.executable, "-m", "urial", "workshop", "export", str(school.path)]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=ROOT, check=True)
    document = json.loads(done.stdout)
    jsonschema.validate(document, WORKSHOP)
    (found,) = document["rooms"]
    assert found["code"] == room["code"] and found["students"] == len(students)
    predict, voted, turned = found["items"]
    assert len(predict["predictions"]) == len(voted["votes"]) == len(students)
    voters = {each["voter"] for each in predict["predictions"]}
    assert voters == {each["voter"] for each in voted["votes"]} and len(voters) == len(students)
    assert voters == {each["voter"] for each in turned["guesses"]} and turned["options"] == {"word": 1}
    truth = next(switch for text, _, switch in turned["material"]["tokens"] if text == " Here")
    for each in turned["guesses"]:
        assert (each["word"], each["percent"], each["switch_point"]) == (1, 40, truth)
        assert each["error_points"] == pytest.approx(abs(40 - 100 * truth))
    assert {each["winner"] for each in voted["votes"]} == {"base", "aligned"}
    for each in voted["votes"]:
        assert each["winner"] == each["a"] and each["aspects"] == {"safety": "tie"}
    seen = school.browser().get(f"/api/host?code={room['code']}&seen=", headers=bearer(room["host"])).json()
    assert voters.isdisjoint(each["id"] for each in seen["students"])  # a nickname cannot be looked up there
    mine = school.browser().get(f"/api/host/export?form=json&code={room['code']}", headers=bearer(room["host"]))
    assert mine.json() == document
    with_names = [name for name in HOSTILE if name.isascii() and len(name) > 12 and name in json.dumps(found["items"])]
    assert with_names == []
    table = subprocess.run([*command, "--csv"], capture_output=True, cwd=ROOT, check=True).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert len(rows) == 3 * len(students)
    assert {row["percent"] for row in rows if row["kind"] == "dial"} == {"40"}
    assert all(row["room_title"] == "'" + HOSTILE[-4][:80] for row in rows)  # a formula is text
    for row in csv.reader(io.StringIO(table, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_a_missing_file_or_another_one_is_a_mistake_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("x" * 4096)
    for path in (tmp_path / "nowhere.sqlite", other, tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "urial", "workshop", "export", str(path)], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and done.stdout == ""
    assert not (tmp_path / "nowhere.sqlite").exists()


KNOWN_TAGS = set(
    "html head meta title style body main h1 h2 h3 p bdi section div mark sub span table caption thead tbody tr th td "
    "a small meter".split()
)


class Elements(HTMLParser):
    """The names of all elements and attributes of a page, as a parser sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_pages_to_keep_show_hostile_text_as_text(taught: tuple[School, dict[str, str], list[Browser]]) -> None:
    school, room, students = taught
    pages = [student.get(f"/home?code={room['code']}&lang=en") for student in students]
    form = f"/api/host/export?form=html&lang=ja&code={room['code']}"
    pages.append(school.browser().get(form, headers=bearer(room["host"])))
    for page in pages:
        assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]
        seen = Elements()
        seen.feed(page.text)
        assert seen.tags <= KNOWN_TAGS
        assert not [name for name in seen.attributes if name.startswith("on") or name in ("style", "src")]
    assert "クラスのページ" in pages[-1].text and "attachment" in pages[-1].headers["content-disposition"]


def test_a_students_page_has_their_own_guesses_and_nobody_elses(school: School) -> None:
    room = opened(school)
    ada, bob = school.browser(), school.browser()
    ada.join(room["code"], "Ada")
    bob.join(room["code"], "Bob")
    step(school, room, "goto", number=0)
    step(school, room, "open")
    vote(ada, room, 0, {"words": [0, 1]})
    step(school, room, "reveal")
    mine, his = (each.get(f"/home?code={room['code']}&lang=en").text for each in (ada, bob))
    assert "Ada" in mine and "Bob" not in mine and 'class="hit"' in mine
    assert "You did not answer this one." in his and 'class="hit"' not in his.replace('legend"><mark class="hit"', "")
    assert "arxiv.org/abs/2312.01552" in mine


def test_a_deleted_room_is_gone_for_all(school: School) -> None:
    room, student = opened(school), school.browser()
    student.join(room["code"])
    assert school.browser().post("/api/host/delete", {"code": room["code"]}, room["host"]).status_code == 200
    assert student.get(f"/api/state?code={room['code']}&seen=").status_code == 403
    assert school.browser().join(room["code"]).status_code == 404


def test_a_room_of_yesterday_is_over(school: School) -> None:
    room, student = opened(school), school.browser()
    student.join(room["code"])
    school.clock.now += DAY
    assert student.get(f"/api/state?code={room['code']}&seen=").json()["phase"] == "ended"
    assert school.browser().join(room["code"]).status_code == 410
