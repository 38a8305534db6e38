"""The rules of a class: who may do what, and when; what is kept, and what is gone."""

from __future__ import annotations

import sqlite3
import string
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.records_builder import HOSTILE
from tests.support.workshop import TurnedClock, items, material, new_room
from urial.errors import WorkshopError
from urial.workshop import names, rooms, stepping
from urial.workshop.database import Database
from urial.workshop.guard import Guard, network
from urial.workshop.refusals import Refused
from urial.workshop.rooms import NewItem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "class.sqlite"


def refused(key: str) -> object:
    return pytest.raises(Refused, check=lambda found: found.key == f"refused.{key}")


# Rooms and codes


def test_a_code_is_six_letters_that_nobody_mixes_up(path: Path) -> None:
    assert len(names.ALPHABET) == len(set(names.ALPHABET)) == 31
    assert not set("0O1IL") & set(names.ALPHABET) and set(names.ALPHABET) <= set(string.ascii_uppercase + string.digits)
    room = new_room(path, "predict")
    assert len(room.opened.code) == 6 and set(room.opened.code) <= set(names.ALPHABET)
    assert names.typed_code(f" {room.opened.code[:3].lower()}-{room.opened.code[3:].lower()} ") == room.opened.code


def test_secrets_are_kept_as_hashes_only(path: Path) -> None:
    room = new_room(path, "predict")
    room.join("a students cookie", "Ada")
    room.database.tidy()
    kept = path.read_bytes()
    for secret in (room.opened.host, room.opened.entry, "a students cookie"):
        assert secret.encode() not in kept
    assert b"Ada" in kept  # so that this test could fail


def test_nothing_about_a_person_is_kept_but_a_number_and_the_nickname(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("token", "Ada")
    with room.database.read() as connection:
        (voter,) = connection.execute("SELECT * FROM voters").fetchall()
    assert set(voter.keys()) == {"id", "room", "token", "nickname", "seed", "joined", "dropped"}


def test_one_browser_in_two_rooms_leaves_two_hashes(path: Path) -> None:
    first, second = new_room(path, "vote"), new_room(path, "vote")
    first.join("token")
    second.join("token")
    with first.database.read() as connection:
        assert connection.execute("SELECT count(DISTINCT token) FROM voters").fetchone()[0] == 2


def test_a_room_needs_items_that_can_be_asked(path: Path) -> None:
    database = Database(path)
    with refused("items"):
        rooms.open_room(database, "", [])
    with refused("items"):
        rooms.open_room(database, "", items("vote") * 61)
    empty = material(texts=[])
    for kind in ("vote", "predict"):
        with pytest.raises(WorkshopError):
            rooms.open_room(database, "", [NewItem(kind, "", "", empty, {})])
    with pytest.raises(WorkshopError, match="no kind of item"):
        rooms.open_room(database, "", items("nonsense"))


# Answers


def test_a_whole_lesson(path: Path) -> None:
    room = new_room(path, "predict", "vote", aspects=True)
    for student in ("a", "b", "c"):
        room.join(student, student.upper())
    assert room.student("a")["phase"] == "lobby"
    assert [each["nickname"] for each in room.projector()["students"]] == ["A", "B", "C"]
    room.host("goto", number=0)
    assert room.student("a")["phase"] == "ready" and "question" not in room.student("a")
    room.host("open")
    room.answer("a", 0, words=[0, 1])
    room.answer("b", 0, words=[])
    assert room.projector()["answered"] == 2
    room.host("close")
    room.host("reveal")
    shown = room.student("a")
    assert shown["reveal"]["n"] == 2 and shown["own"]["tapped"] == 2 and shown["mine"] == {"words": [0, 1]}
    assert [word[4] for word in shown["reveal"]["words"]][:2] == [1, 1]
    assert "own" not in room.student("c")
    room.begin(1)
    for student, choice in (("a", "a"), ("b", "tie"), ("c", "bad")):
        room.answer(student, 1, choice=choice, aspects={"clarity": "a"})
    room.host("reveal")
    found = room.student("c")["reveal"]
    assert found["tally"]["n"] == 3 and found["tally"]["outcomes"]["tie"]["count"] == 1
    assert found["aspects"]["clarity"]["n"] == 3
    assert found["base_name"] == "google/gemma-3-270m"


def test_an_answer_given_twice_is_one(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a")
    room.begin()
    for choice in ("a", "b", "tie"):
        room.answer("a", 0, choice=choice)
    assert room.projector()["answered"] == 1
    assert room.student("a")["mine"]["winner"] == "tie"


def test_nothing_is_taken_before_opening_after_closing_or_after_the_reveal(path: Path) -> None:
    room = new_room(path, "vote", "vote")
    room.join("a")
    with refused("moved"):
        room.answer("a", 0, choice="a")  # in the lobby
    room.host("goto", number=0)
    with refused("closed"):
        room.answer("a", 0, choice="a")
    room.host("open")
    with refused("moved"):
        room.answer("a", 1, choice="a")
    room.host("close")
    with refused("closed"):
        room.answer("a", 0, choice="a")
    room.host("open")
    room.answer("a", 0, choice="a")
    room.host("reveal")
    with refused("closed"):
        room.answer("a", 0, choice="b")
    with refused("step"):
        room.host("open")  # what is revealed stays closed
    room.host("goto", number=1)
    room.host("goto", number=0)
    assert room.student("a")["phase"] == "revealed"


def test_moving_on_closes_what_is_open(path: Path) -> None:
    room = new_room(path, "vote", "vote")
    room.join("a")
    room.begin()
    room.host("goto", number=1)
    room.host("goto", number=0)
    assert room.student("a")["phase"] == "closed"


def test_a_timer_closes_by_itself_with_a_moment_of_grace(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a")
    room.begin(seconds=30)
    assert room.student("a")["seconds_left"] == 30
    room.clock.now += 29
    version = room.student("a")["version"]
    room.clock.now += 1
    assert room.student("a")["phase"] == "closed" and room.student("a")["version"] != version
    room.answer("a", 0, choice="a")  # sent at the last moment
    room.clock.now += rooms.GRACE
    with refused("closed"):
        room.answer("a", 0, choice="b")
    with refused("timer"):
        room.begin(seconds=4000)
    with refused("timer"):
        room.begin(seconds=-1)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"choice": "c"},
        {"choice": ["a"]},
        {"choice": "a", "aspects": {"taste": "a"}},
        {"choice": "a", "aspects": {"clarity": "winner"}},
        {"choice": "a", "aspects": {"clarity": ["a"]}},
        {"choice": "a", "aspects": [1]},
    ],
)
def test_votes_of_another_form_are_refused(path: Path, wrong: dict) -> None:
    room = new_room(path, "vote", aspects=True)
    room.join("a")
    room.begin()
    with refused("answer"):
        room.answer("a", 0, **wrong)
    assert room.projector()["answered"] == 0


def test_aspects_are_only_taken_where_they_are_asked_for(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a")
    room.begin()
    with refused("answer"):
        room.answer("a", 0, choice="a", aspects={"clarity": "a"})


@pytest.mark.parametrize("wrong", [None, "0", [True], [-1], [10_000], [1.0], ["0"], [[0]], [0] * 10_000])
def test_guesses_of_another_form_are_refused(path: Path, wrong: object) -> None:
    room = new_room(path, "predict")
    room.join("a")
    room.begin()
    with refused("answer"):
        room.answer("a", 0, words=wrong)


# Who may do what


def test_nobody_acts_as_host_without_the_secret(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("token")
    for secret in ("", "token", room.opened.code, room.opened.entry, room.opened.host[:-1], room.opened.host + "x"):
        for action in stepping.ACTIONS:
            with refused("host"):
                stepping.step(room.database, room.opened.code, secret, action, {"number": 0})
        with refused("host"):
            stepping.delete(room.database, room.opened.code, secret)
    other = new_room(path, "vote")
    with refused("host"):
        stepping.delete(room.database, room.opened.code, other.opened.host)
    assert room.student("token")["phase"] == "lobby"


def test_a_stranger_learns_nothing_about_which_rooms_there_are(path: Path) -> None:
    room = new_room(path, "vote")
    for code in (room.opened.code, "ABCDEF"):
        with refused("member"):
            rooms.answer(room.database, code, "stranger", 0, {"choice": "a"})
        with refused("host"):
            stepping.step(room.database, code, "wrong", "open", {})


def test_a_removed_student_is_out_with_their_answers(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a", "Rude")
    room.join("b", "Kind")
    room.begin()
    room.answer("a", 0, choice="a")
    room.answer("b", 0, choice="b")
    rude = next(each["id"] for each in room.projector()["students"] if each["nickname"] == "Rude")
    room.host("drop", voter=rude)
    assert room.projector()["answered"] == 1
    assert [each["nickname"] for each in room.projector()["students"]] == ["Kind"]
    for attempt in (lambda: room.answer("a", 0, choice="a"), lambda: room.join("a", "Back"), lambda: room.student("a")):
        with refused("dropped"):
            attempt()
    other = new_room(path, "vote")
    other.join("a")
    stranger = other.projector()["students"][0]["id"]
    room.host("drop", voter=stranger)  # of another room: nothing happens
    assert other.student("a")["phase"] == "lobby"


def test_a_locked_door_keeps_new_ones_out_and_lets_students_back_in(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a", "Ada")
    room.host("lock", locked=True)
    with refused("locked"):
        room.join("b")
    room.join("a", "")
    assert room.student("a")["you"] == "Ada"
    room.host("lock", locked=False)
    room.join("b")


def test_two_tabs_are_one_student(path: Path) -> None:
    room = new_room(path, "vote")
    room.join("a", "First")
    room.join("a", "Second")
    assert [each["nickname"] for each in room.projector()["students"]] == ["Second"]


def test_a_full_room_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "VOTERS", 2)
    room = new_room(path, "vote")
    room.join("a")
    room.join("b")
    with refused("full"):
        room.join("c")
    room.join("a")


# Ends


def test_rooms_end_after_a_day_or_when_the_host_ends_them(path: Path) -> None:
    first, second = new_room(path, "vote"), new_room(path, "vote")
    for room in (first, second):
        room.join("a")
        room.begin()
        room.answer("a", 0, choice="a")
        room.host("reveal")
    first.clock.now += rooms.DAY - 1
    assert first.student("a")["phase"] == "revealed"
    first.clock.now += 1
    second.host("end")
    for room in (first, second):
        assert room.student("a")["phase"] == "ended"
        with refused("ended"):
            room.answer("a", 0, choice="b")
        with refused("ended"):
            room.join("new")
        with refused("ended"):
            room.host("goto", number=0)
        assert room.projector()["phase"] == "ended"


def test_deleting_a_room_deletes_its_rows_and_its_bytes(path: Path) -> None:
    room, other = new_room(path, "vote", title="Gone-title"), new_room(path, "vote", title="Kept-title")
    for each in (room, other):
        each.join("a", f"Nick-{each is room}")
        each.begin()
        each.answer("a", 0, choice="a")
    stepping.delete(room.database, room.opened.code, room.opened.host)
    with other.database.read() as connection:
        for table in ("rooms", "items", "voters", "answers"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 1, table
    left = b"".join(each.read_bytes() for each in path.parent.iterdir() if each.name.startswith(path.name))
    assert b"Gone-title" not in left and b"Nick-True" not in left
    other.database.tidy()
    assert b"Kept-title" in path.read_bytes()
    assert other.student("a")["phase"] == "open"


# Many at once


def test_three_hundred_answers_from_many_threads_are_all_there(path: Path) -> None:
    room = new_room(path, "vote")
    for number in range(300):
        room.join(f"s{number}")
    room.begin()
    problems: list[BaseException] = []

    def some(first: int) -> None:
        database = Database(path)  # as another process would have it
        for number in range(first, 300, 6):
            try:
                rooms.answer(database, room.opened.code, f"s{number}", 0, {"choice": "ab"[number % 2]}, room.clock)
            except BaseException as problem:
                problems.append(problem)
        database.close()

    threads = [threading.Thread(target=some, args=(first,)) for first in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert room.projector()["answered"] == 300


# Files


def test_a_folder_without_wal_is_noticed_and_the_class_still_works(path: Path) -> None:
    """SQLite's dot-file locks cannot share memory, as a network disk cannot: its write-ahead log is refused."""
    database = Database(path, vfs="unix-dotfile")
    assert "write-ahead log" in database.note and str(path) in database.note
    opened = rooms.open_room(database, "", items("vote"))
    rooms.join(database, opened.code, "a", "")
    stepping.step(database, opened.code, opened.host, "goto", {"number": 0})
    assert Database(path.with_name("local.sqlite")).note == ""


def test_a_write_is_synchronised_to_the_disk(path: Path) -> None:
    database = Database(path)
    with database.write() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1


@pytest.mark.parametrize("kind", ["folder", "text", "other", "later", "missing"])
def test_a_file_that_cannot_hold_a_class_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no database at all " * 100)
    elif kind == "missing":
        path = tmp_path / "nowhere" / "file"
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99" if kind == "later" else "CREATE TABLE cats (name)")
        connection.commit()
        connection.close()
    with pytest.raises(WorkshopError, match="choose another") as found:
        Database(path)
    assert str(path) in str(found.value) and "\n" not in str(found.value)


# Tries


def test_twenty_wrong_codes_a_minute_and_not_one_more() -> None:
    clock = TurnedClock()
    guard = Guard(20, 60.0, "tries", clock)
    for _ in range(20):
        guard.count("10.0.0.1")
        clock.now += 1
    with refused("tries"):
        guard.count("10.0.0.1")
    guard.count("10.0.0.2")  # another address
    clock.now += 40
    guard.count("10.0.0.1")  # the first is a minute old
    with refused("tries"):
        guard.count("10.0.0.1")


def test_right_codes_do_not_count() -> None:
    guard = Guard(20, 60.0, "tries", TurnedClock())
    for _ in range(300):
        guard.count("school")
        guard.forgive("school")
    guard.count("school")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1%eth0", "2001:db8::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_host_is_its_network(address: str, expected: str) -> None:
    assert network(address) == expected


# Nicknames


@given(st.text(max_size=200))
def test_a_nickname_is_one_short_line_without_control_or_direction_marks(text: str) -> None:
    found = names.cleaned(text, names.NICKNAME_LENGTH)
    assert len(found) <= names.NICKNAME_LENGTH and found == found.strip()
    assert not set(found) & set("\n\r\t\x00\u202e\u2066\u2067\u2028\ufeff\u200b")
    assert names.cleaned(found, names.NICKNAME_LENGTH) == found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_nicknames_are_kept_as_short_text(path: Path, text: str) -> None:
    room = new_room(path, "vote", title=text)
    room.join("a", text)
    (student,) = room.projector()["students"]
    assert len(student["nickname"]) <= 24 and len(room.projector()["title"]) <= 80
    assert student["nickname"] == names.cleaned(text, 24)


@pytest.mark.parametrize("value", [None, 3, ["x"], {"a": 1}, b"x", "\ud800"])
def test_what_is_no_text_is_no_nickname(value: object) -> None:
    assert names.cleaned(value, 24) == ""
