"""What the host of a class does: open, close and reveal items, go on, lock the door, remove a student, end, delete.

Each step is one transaction that checks the host's secret.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from urial.workshop.database import Database
from urial.workshop.refusals import Refused
from urial.workshop.rooms import Clock, current, is_over, phase, room_of_host

TIMER = 3_600  # seconds, the longest


def step(
    database: Database, code: str, host: str, action: object, data: Mapping[str, Any], clock: Clock = time.time
) -> None:
    """One of ACTIONS. Raises Refused where it does not fit the moment."""
    if action not in ACTIONS:
        raise Refused("action", 400)
    with database.write() as connection:
        room = room_of_host(connection, code, host)
        if is_over(room, clock()) and action != "drop":
            raise Refused("ended", 410)
        ACTIONS[str(action)](connection, room, data, clock())
        connection.execute("UPDATE rooms SET version = version + 1 WHERE id = ?", (room["id"],))


def set_item(connection: sqlite3.Connection, item: sqlite3.Row, **values: float | None) -> None:
    """Set columns of an item; their names are this file's own."""
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE items SET {columns} WHERE room = ? AND number = ?", (*values.values(), item["room"], item["number"])
    )


def at_item(connection: sqlite3.Connection, room: sqlite3.Row, now: float, *phases: str) -> sqlite3.Row:
    """The current item. Raises Refused in another phase than those named."""
    item = current(connection, room)
    if item is None or phase(room, item, now) not in phases:
        raise Refused("step")
    return item


def open_item(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    item = at_item(connection, room, now, "ready", "closed")
    seconds = data.get("seconds") or 0
    if type(seconds) is not int or not 0 <= seconds <= TIMER:
        raise Refused("timer", 400, most=TIMER)
    set_item(connection, item, opened=now, closed=None, ends=now + seconds if seconds else None)


def close_item(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    set_item(connection, at_item(connection, room, now, "open", "closed"), closed=now)


def reveal_item(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    item = at_item(connection, room, now, "open", "closed")
    set_item(connection, item, closed=item["closed"] or now, revealed=now)


def go_to(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    """To item `number`, 0-based; what is open is closed."""
    number = data.get("number")
    count = connection.execute("SELECT count(*) FROM items WHERE room = ?", (room["id"],)).fetchone()[0]
    if type(number) is not int or not 0 <= number < count:
        raise Refused("step", 400)
    item = current(connection, room)
    if item is not None and phase(room, item, now) == "open":
        set_item(connection, item, closed=now)
    connection.execute("UPDATE rooms SET position = ? WHERE id = ?", (number, room["id"]))


def lock(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    """Let nobody new in, or let them in again."""
    connection.execute("UPDATE rooms SET locked = ? WHERE id = ?", (bool(data.get("locked")), room["id"]))


def drop(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    """Send a student out: their answers and nickname go, and the same browser does not come in again."""
    voter = str(data.get("voter"))
    connection.execute(
        "DELETE FROM answers WHERE voter IN (SELECT id FROM voters WHERE id = ? AND room = ?)", (voter, room["id"])
    )
    connection.execute("UPDATE voters SET dropped = 1, nickname = '' WHERE id = ? AND room = ?", (voter, room["id"]))


def end(connection: sqlite3.Connection, room: sqlite3.Row, data: Mapping[str, Any], now: float) -> None:
    connection.execute("UPDATE rooms SET ended = ? WHERE id = ?", (now, room["id"]))


ACTIONS = {
    "open": open_item,
    "close": close_item,
    "reveal": reveal_item,
    "goto": go_to,
    "lock": lock,
    "drop": drop,
    "end": end,
}


def delete(database: Database, code: str, host: str) -> None:
    """The room and all of its rows, also from the file's free pages. Raises Refused."""
    with database.write() as connection:
        room = room_of_host(connection, code, host)
        connection.execute("DELETE FROM rooms WHERE id = ?", (room["id"],))
    database.tidy()
