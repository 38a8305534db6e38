"""What a student and a host see of a room at a moment, as plain JSON values; nothing early, nothing of others."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

from urial.workshop.database import Database
from urial.workshop.kinds import Data, kind_of
from urial.workshop.rooms import LIGHT, Clock, current, is_over, material_of, member, phase, room_of_host

REVEALS = 64  # the most that are kept worked out


def student(database: Database, code: str, token: str, seen: str, clock: Clock = time.time) -> Data | None:
    """A student's view; None where it is the one already `seen`. Raises Refused (403)."""
    with database.read() as connection:
        room, voter = member(connection, code, token)
        item, now = current(connection, room), clock()
        at = phase(room, item, now)
        version = f"{room['id']}.{room['version']}.{at}"
        if version == seen:
            return None
        view = {**common(connection, room, item, at, now), "version": version, "you": voter["nickname"]}
        if item is not None:
            view["mine"] = own_answer(connection, room, voter, item)
        if item is not None and at in ("open", "closed"):
            material, options = material_of(connection, item), json.loads(item["options"])
            view["question"] = kind_of(item["kind"]).question(material, options, voter["seed"], item["number"])
        if item is not None and item["revealed"] is not None:
            view["reveal"] = revealed(database, connection, room, item)
            if view["mine"] is not None:
                material, options = material_of(connection, item), json.loads(item["options"])
                view["own"] = kind_of(item["kind"]).own(material, options, view["mine"])
        return view


def host(database: Database, code: str, secret: str, seen: str, clock: Clock = time.time) -> Data | None:
    """The host's view; None where it is the one already `seen`. Raises Refused (403)."""
    with database.read() as connection:
        room = room_of_host(connection, code, secret)
        item, now = current(connection, room), clock()
        at = phase(room, item, now)
        people = connection.execute(
            "SELECT id, nickname FROM voters WHERE room = ? AND dropped = 0 ORDER BY rowid", (room["id"],)
        ).fetchall()
        answered = count_answers(connection, item)
        version = f"{room['id']}.{room['version']}.{at}.{answered}.{hash(tuple(map(tuple, people)))}"
        if version == seen:
            return None
        view = {
            **common(connection, room, item, at, now),
            "version": version,
            "students": [dict(each) for each in people],
            "answered": answered,
            "locked": bool(room["locked"]),
            "note": database.note,
            "items": outline(connection, room),
        }
        if item is not None:
            options = json.loads(item["options"])
            view["projected"] = kind_of(item["kind"]).projected(material_of(connection, item), options)
        if item is not None and item["revealed"] is not None:
            view["reveal"] = revealed(database, connection, room, item)
        return view


def common(
    connection: sqlite3.Connection, room: sqlite3.Row, item: sqlite3.Row | None, at: str, now: float
) -> dict[str, Any]:
    """What both sides see: where the room is, and the question."""
    count = connection.execute("SELECT count(*) FROM items WHERE room = ?", (room["id"],)).fetchone()[0]
    view: dict[str, Any] = {"code": room["code"], "title": room["title"], "phase": at, "of": count, "item": None}
    if item is not None:
        material = material_of(connection, item)
        view["item"] = {
            "number": item["number"],
            "kind": item["kind"],
            "query": material.query,
            "history": material.history,
        }
        if at == "open" and item["ends"] is not None:
            view["seconds_left"] = max(0.0, item["ends"] - now)
    return view


def own_answer(connection: sqlite3.Connection, room: sqlite3.Row, voter: sqlite3.Row, item: sqlite3.Row) -> Data | None:
    found = connection.execute(
        "SELECT value FROM answers WHERE room = ? AND item = ? AND voter = ?", (room["id"], item["number"], voter["id"])
    ).fetchone()
    return None if found is None else json.loads(found["value"])


def count_answers(connection: sqlite3.Connection, item: sqlite3.Row | None) -> int:
    if item is None:
        return 0
    found = connection.execute(
        "SELECT count(*) FROM answers WHERE room = ? AND item = ?", (item["room"], item["number"])
    )
    return found.fetchone()[0]


def answers(connection: sqlite3.Connection, item: sqlite3.Row) -> list[Data]:
    """All of an item's answers, in the order of the students' random ids."""
    found = connection.execute(
        "SELECT value FROM answers WHERE room = ? AND item = ? ORDER BY voter", (item["room"], item["number"])
    )
    return [json.loads(row["value"]) for row in found]


def revealed(database: Database, connection: sqlite3.Connection, room: sqlite3.Row, item: sqlite3.Row) -> Data:
    """What all see of a revealed item, worked out once for each version of the room: three hundred ask at once."""
    key = (room["id"], item["number"], room["version"])
    found = database.reveals.get(key)
    if found is None:
        material, options = material_of(connection, item), json.loads(item["options"])
        shown = kind_of(item["kind"]).reveal(material, options, answers(connection, item))
        found = {**shown, "title": item["title"], "look_at": item["look_at"]}
        database.reveals[key] = found
        while len(database.reveals) > REVEALS:
            database.reveals.popitem(last=False)
    return found


def outline(connection: sqlite3.Connection, room: sqlite3.Row) -> list[Data]:
    """The room's items for the host's list."""
    found = connection.execute(f"SELECT {LIGHT} FROM items WHERE room = ? ORDER BY number", (room["id"],))
    return [
        {
            "kind": item["kind"],
            "query": material_of(connection, item).query,
            "answered": count_answers(connection, item),
            "revealed": item["revealed"] is not None,
        }
        for item in found
    ]


def taken_home(
    database: Database, code: str, token: str, clock: Clock = time.time
) -> tuple[Data, list[tuple[Data, Data | None]]]:
    """A student's own page: the room, and for each revealed item the reveal with what this student answered."""
    with database.read() as connection:
        room, voter = member(connection, code, token)
        items = connection.execute(
            f"SELECT {LIGHT} FROM items WHERE room = ? AND revealed IS NOT NULL ORDER BY number", (room["id"],)
        ).fetchall()
        facts = {"title": room["title"], "code": code, "you": voter["nickname"], "over": is_over(room, clock())}
        reveals = [told(database, connection, room, item) for item in items]
        own = [own_answer(connection, room, voter, item) for item in items]
        return facts, list(zip(reveals, own, strict=True))


def told(database: Database, connection: sqlite3.Connection, room: sqlite3.Row, item: sqlite3.Row) -> Data:
    """A revealed item in full."""
    material = material_of(connection, item)
    return {
        "kind": item["kind"],
        "number": item["number"],
        "query": material.query,
        "history": material.history,
        "material": material,
        "options": json.loads(item["options"]),
        "reveal": revealed(database, connection, room, item),
    }


def whole_class(database: Database, code: str, secret: str, clock: Clock = time.time) -> tuple[Data, list[Data]]:
    """The host's page to keep: the room, and each revealed item with what the class said; without names."""
    with database.read() as connection:
        room = room_of_host(connection, code, secret)
        items = connection.execute(
            f"SELECT {LIGHT} FROM items WHERE room = ? AND revealed IS NOT NULL ORDER BY number", (room["id"],)
        ).fetchall()
        facts = {"title": room["title"], "code": code, "you": "", "over": is_over(room, clock())}
        return facts, [told(database, connection, room, item) for item in items]
