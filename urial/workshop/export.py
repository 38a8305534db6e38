"""All of a class as `urial.workshop/1` (JSON) and as a table (CSV), without names: a voter is a random number."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sqlite3
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from urial.render.csv_table import defuse
from urial.workshop.database import Database
from urial.workshop.kinds import kind_of
from urial.workshop.material import from_json
from urial.workshop.rooms import room_of_host

SCHEMA = "urial.workshop/1"
COLUMNS = (
    "room",
    "room_title",
    "item",
    "kind",
    "query",
    "base",
    "aligned",
    "voter",
    "at",
    "winner",
    "a_was",
    "choice",
    "aspects",
    "words",
    "texts",
    "hits",
    "tapped",
    "shifted",
    "precision",
    "recall",
    "word",
    "text",
    "percent",
    "switch_point",
    "error_points",
)


def everything(database: Database) -> dict[str, Any]:
    """All rooms of a file."""
    with database.read() as connection:
        rooms = connection.execute("SELECT * FROM rooms ORDER BY id").fetchall()
        return {"schema": SCHEMA, "rooms": [exported(connection, room) for room in rooms]}


def one_room(database: Database, code: str, host: str) -> dict[str, Any]:
    """A host's own room. Raises Refused (403)."""
    with database.read() as connection:
        room = room_of_host(connection, code, host)
        return {"schema": SCHEMA, "rooms": [exported(connection, room)]}


def exported(connection: sqlite3.Connection, room: sqlite3.Row) -> dict[str, Any]:
    items = connection.execute("SELECT * FROM items WHERE room = ? ORDER BY number", (room["id"],)).fetchall()
    students = "SELECT count(*) FROM voters WHERE room = ? AND dropped = 0"
    return {
        "code": room["code"],
        "title": room["title"],
        "opened_at": moment(room["created"]),
        "ended_at": moment(room["ended"]),
        "students": connection.execute(students, (room["id"],)).fetchone()[0],
        "items": [exported_item(connection, item) for item in items],
    }


def exported_item(connection: sqlite3.Connection, item: sqlite3.Row) -> dict[str, Any]:
    kind, material, options = kind_of(item["kind"]), from_json(item["material"]), json.loads(item["options"])
    found = connection.execute(
        "SELECT token, value, at FROM answers JOIN voters ON voters.id = voter WHERE answers.room = ? AND item = ?",
        (item["room"], item["number"]),
    )
    given = [
        {
            "voter": number_of(row["token"]),
            "at": moment(row["at"]),
            **kind.exported(material, options, json.loads(row["value"])),
        }
        for row in found
    ]
    return {
        "kind": kind.name,
        "title": item["title"],
        "query": material.query,
        "options": options,
        "opened_at": moment(item["opened"]),
        "revealed_at": moment(item["revealed"]),
        "material": asdict(material),
        kind.export_key: sorted(given, key=lambda each: each["voter"]),
    }


def number_of(token: bytes) -> str:
    """A student's number in exports: not the one by which the host's page knows a nickname."""
    return hashlib.sha256(b"export" + token).hexdigest()[:16]


def moment(seconds: float | None) -> str | None:
    """An ISO time (UTC), to the second."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def to_csv(document: dict[str, Any]) -> str:
    """One line for each answer, RFC 4180 (CRLF); lists as JSON; no cell that a spreadsheet would run."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for room in document["rooms"]:
        for number, item in enumerate(room["items"], start=1):
            key = kind_of(item["kind"]).export_key
            writer.writerows(line(room, number, item, given) for given in item[key])
    return out.getvalue()


def line(room: dict[str, Any], number: int, item: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    cells = {
        "room": room["code"],
        "room_title": room["title"],
        "item": number,
        "kind": item["kind"],
        "query": item["query"],
        "base": item["material"]["base_name"],
        "aligned": item["material"]["aligned_name"],
        "a_was": given.get("a"),
        **{name: given[name] for name in COLUMNS if name in given},
    }
    return {name: cell(value) for name, value in cells.items()}


def cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return defuse(value) if isinstance(value, str) else value
