"""A class for tests: a real file, real recordings, and a clock that a test can turn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.records_builder import build
from urial.workshop import rooms, stepping, views
from urial.workshop.database import Database
from urial.workshop.kinds import kind_of
from urial.workshop.material import Material, of_comparison
from urial.workshop.rooms import NewItem, Opened


class TurnedClock:
    """Seconds since an hour that a test chooses."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def material(**given: Any) -> Material:
    return of_comparison(build(**given))


def items(*kinds: str, **options: Any) -> list[NewItem]:
    found = material()
    return [
        NewItem(kind, f"Title {number}", "Look here.", found, kind_of(kind).options(found, options))
        for number, kind in enumerate(kinds)
    ]


@dataclass
class Room:
    """An open room with the words of a host and of students."""

    database: Database
    opened: Opened
    clock: TurnedClock

    def host(self, action: str, **data: Any) -> None:
        stepping.step(self.database, self.opened.code, self.opened.host, action, data, self.clock)

    def join(self, token: str, nickname: str = "") -> None:
        rooms.join(self.database, self.opened.code, token, nickname, self.clock)

    def answer(self, token: str, number: int, **data: Any) -> None:
        rooms.answer(self.database, self.opened.code, token, number, data, self.clock)

    def student(self, token: str) -> dict[str, Any]:
        view = views.student(self.database, self.opened.code, token, "", self.clock)
        assert view is not None
        return view

    def projector(self) -> dict[str, Any]:
        view = views.host(self.database, self.opened.code, self.opened.host, "", self.clock)
        assert view is not None
        return view

    def begin(self, number: int = 0, **data: Any) -> None:
        self.host("goto", number=number)
        self.host("open", **data)


def new_room(path: Path, *kinds: str, title: str = "Class 7b", **options: Any) -> Room:
    database, clock = Database(path), TurnedClock()
    return Room(database, rooms.open_room(database, title, items(*kinds, **options), clock), clock)
