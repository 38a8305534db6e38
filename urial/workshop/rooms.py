"""The rules of a class: who opens a room, joins it, answers in it. Each function is one transaction.

A room's code lets students in; the host's secret, shown once, lets the host act. A student is a random number in a
cookie. Votes are taken while an item is open and never after its reveal. What the host does is in
`stepping.py`.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from urial.errors import WorkshopError
from urial.workshop import names
from urial.workshop.database import Database
from urial.workshop.kinds import kind_of
from urial.workshop.material import Material, from_json
from urial.workshop.refusals import Refused

DAY = 86_400.0  # seconds that a room lives
ITEMS, VOTERS, ROOMS = 60, 1_000, 2_000  # the most of one room, one room, one file
GRACE = 2.0  # seconds for an answer that was sent when the timer ended

LIGHT = "room, number, kind, title, look_at, options, opened, closed, ends, revealed"  # what every look needs

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item as a host asks for it."""

    kind: str
    title: str
    look_at: str
    material: Material
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Opened:
    """What the host is told once: the code, the host's secret, and the key in the QR code."""

    code: str
    host: str
    entry: str


def open_room(database: Database, title: object, items: Sequence[NewItem], clock: Clock = time.time) -> Opened:
    """Raises WorkshopError for items that cannot be asked, Refused where there are too many rooms."""
    if not 1 <= len(items) <= ITEMS:
        raise Refused("items", 400, most=ITEMS)
    for item in items:
        kind_of(item.kind).check_material(item.material)
    host, entry = names.new_secret(), names.new_secret()
    with database.write() as connection:
        if connection.execute("SELECT count(*) FROM rooms").fetchone()[0] >= ROOMS:
            raise Refused("rooms", 507)
        code = unused_code(connection)
        added = connection.execute(
            "INSERT INTO rooms (code, title, host, entry, created) VALUES (?, ?, x'', x'', ?)",
            (code, names.cleaned(title, names.TITLE_LENGTH), clock()),
        )
        room = added.lastrowid or 0
        hashes = (names.hashed(host, room), names.hashed(entry, room), room)
        connection.execute("UPDATE rooms SET host = ?, entry = ? WHERE id = ?", hashes)
        connection.executemany(
            "INSERT INTO items (room, number, kind, title, look_at, material, options) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (room, number, item.kind, item.title, item.look_at, item.material.to_json(), json.dumps(item.options))
                for number, item in enumerate(items)
            ],
        )
    return Opened(code, host, entry)


def unused_code(connection: sqlite3.Connection) -> str:
    while True:
        code = names.new_code()
        if not connection.execute("SELECT 1 FROM rooms WHERE code = ?", (code,)).fetchone():
            return code


# Who is asking


def room_of_host(connection: sqlite3.Connection, code: str, host: str) -> sqlite3.Row:
    """Raises Refused (403) alike for a wrong secret and for a room that is not there."""
    room = connection.execute("SELECT * FROM rooms WHERE code = ?", (code,)).fetchone()
    if room is None or not names.matches(host, room["id"], room["host"]):
        raise Refused("host", 403)
    return room


def member(connection: sqlite3.Connection, code: str, token: str) -> tuple[sqlite3.Row, sqlite3.Row]:
    """The room and the student. Raises Refused (403) alike for strangers and for rooms that are not there."""
    room = connection.execute("SELECT * FROM rooms WHERE code = ?", (code,)).fetchone()
    if room is not None and token:
        voter = connection.execute(
            "SELECT * FROM voters WHERE room = ? AND token = ?", (room["id"], names.hashed(token, room["id"]))
        ).fetchone()
        if voter is not None:
            if voter["dropped"]:
                raise Refused("dropped", 403)
            return room, voter
    raise Refused("member", 403)


def is_over(room: sqlite3.Row, now: float) -> bool:
    return room["ended"] is not None or now >= room["created"] + DAY


def current(connection: sqlite3.Connection, room: sqlite3.Row) -> sqlite3.Row | None:
    """The item that the room is at, without its material; None in the lobby."""
    return connection.execute(
        f"SELECT {LIGHT} FROM items WHERE room = ? AND number = ?", (room["id"], room["position"])
    ).fetchone()


def material_of(connection: sqlite3.Connection, item: sqlite3.Row) -> Material:
    """The answers of an item, which are long: most looks do without."""
    found = connection.execute(
        "SELECT material FROM items WHERE room = ? AND number = ?", (item["room"], item["number"])
    ).fetchone()
    return from_json(found["material"])


def phase(room: sqlite3.Row, item: sqlite3.Row | None, now: float) -> str:
    """lobby, ready, open, closed, revealed or ended."""
    if is_over(room, now):
        return "ended"
    if item is None:
        return "lobby"
    if item["revealed"] is not None:
        return "revealed"
    if item["opened"] is None:
        return "ready"
    timed_out = item["ends"] is not None and now >= item["ends"]
    return "closed" if item["closed"] is not None or timed_out else "open"


# What students do


def is_member(database: Database, code: str, token: str) -> bool:
    with database.read() as connection:
        try:
            member(connection, code, token)
        except Refused as refused:
            if refused.key == "refused.dropped":
                raise
            return False
    return True


def join(database: Database, code: str, token: str, nickname: object, clock: Clock = time.time) -> None:
    """Let a student in, or give one who is in another nickname. Raises Refused: 404 for a wrong code."""
    with database.write() as connection:
        room = connection.execute("SELECT * FROM rooms WHERE code = ?", (code,)).fetchone()
        if room is None:
            raise Refused("code", 404)
        if is_over(room, clock()):
            raise Refused("ended", 410)
        kept = names.hashed(token, room["id"])
        found = connection.execute("SELECT * FROM voters WHERE room = ? AND token = ?", (room["id"], kept)).fetchone()
        if found is not None and found["dropped"]:
            raise Refused("dropped", 403)
        if found is None:
            if room["locked"]:
                raise Refused("locked", 403)
            count = connection.execute("SELECT count(*) FROM voters WHERE room = ?", (room["id"],)).fetchone()[0]
            if count >= VOTERS:
                raise Refused("full", 403, most=VOTERS)
        name = names.cleaned(nickname, names.NICKNAME_LENGTH)
        connection.execute(
            "INSERT INTO voters (id, room, token, nickname, seed, joined) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (room, token) DO UPDATE SET nickname = CASE WHEN excluded.nickname = '' THEN nickname "
            "ELSE excluded.nickname END",
            (secrets.token_hex(8), room["id"], kept, name, secrets.randbits(62), clock()),
        )


def fits(database: Database, code: str, entry: str) -> bool:
    """Whether a key is the one of this room's QR code."""
    with database.read() as connection:
        room = connection.execute("SELECT * FROM rooms WHERE code = ?", (code,)).fetchone()
        return room is not None and bool(entry) and names.matches(entry, room["id"], room["entry"])


def answer(
    database: Database, code: str, token: str, number: object, data: dict[str, Any], clock: Clock = time.time
) -> None:
    """Keep a student's answer, in place of an earlier one; it is on disk when this returns. Raises Refused."""
    with database.write() as connection:
        room, voter = member(connection, code, token)
        item, now = current(connection, room), clock()
        if is_over(room, now):
            raise Refused("ended", 410)
        if item is None or item["number"] != number:
            raise Refused("moved")
        if phase(room, item, now) != "open" and not in_grace(item, now):
            raise Refused("closed")
        value = kind_of(item["kind"]).accept(
            material_of(connection, item), json.loads(item["options"]), voter["seed"], item["number"], data
        )
        connection.execute(
            "INSERT INTO answers (room, item, voter, value, at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (room, item, voter) DO UPDATE SET value = excluded.value, at = excluded.at",
            (room["id"], item["number"], voter["id"], json.dumps(value), now),
        )


def in_grace(item: sqlite3.Row, now: float) -> bool:
    """Whether only the timer closed it, a moment ago."""
    untouched = item["opened"] is not None and item["closed"] is None and item["revealed"] is None
    return untouched and item["ends"] is not None and now < item["ends"] + GRACE


def open_store(path: str) -> Database:
    """The file of `--workshop`. Raises WorkshopError where it cannot be used."""
    try:
        return Database(path)
    except OSError as error:
        raise WorkshopError(f"{path} cannot hold a class ({error.strerror}); choose another --workshop.") from error
