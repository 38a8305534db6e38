"""The class's SQLite file: its tables, its connections, its transactions.

A write begins with BEGIN IMMEDIATE (one that reads first and then writes may fail busy in spite of any timeout) and is
on disk when it returns: synchronous FULL. Where the folder cannot do WAL, SQLite's rollback journal is used and `note`
says so.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from urial.errors import WorkshopError

VERSION = 1
BUSY_SECONDS = 10.0
SCHEMA = """
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL UNIQUE, title TEXT NOT NULL, host BLOB NOT NULL,
    entry BLOB NOT NULL, created REAL NOT NULL, ended REAL, position INTEGER NOT NULL DEFAULT -1,
    locked INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 1);
CREATE TABLE items (
    room INTEGER NOT NULL REFERENCES rooms(id) ON DELETE CASCADE, number INTEGER NOT NULL, kind TEXT NOT NULL,
    title TEXT NOT NULL, look_at TEXT NOT NULL, options TEXT NOT NULL, opened REAL, closed REAL, ends REAL,
    revealed REAL, material TEXT NOT NULL, PRIMARY KEY (room, number)) WITHOUT ROWID;
CREATE TABLE voters (
    id TEXT PRIMARY KEY, room INTEGER NOT NULL REFERENCES rooms(id) ON DELETE CASCADE, token BLOB NOT NULL,
    nickname TEXT NOT NULL, seed INTEGER NOT NULL, joined REAL NOT NULL, dropped INTEGER NOT NULL DEFAULT 0,
    UNIQUE (room, token));
CREATE TABLE answers (
    room INTEGER NOT NULL, item INTEGER NOT NULL, voter TEXT NOT NULL REFERENCES voters(id) ON DELETE CASCADE,
    value TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (room, item, voter),
    FOREIGN KEY (room, item) REFERENCES items(room, number) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX answers_by_voter ON answers(voter);
"""


class Database:
    """Connections to one file, lent one at a time. Raises WorkshopError where the file cannot be used."""

    def __init__(self, path: str | Path, vfs: str | None = None) -> None:
        self.path, self._vfs = Path(path), vfs
        self.note = ""
        self.reveals: OrderedDict[tuple[int, int, int], dict[str, Any]] = OrderedDict()  # see `views.revealed`
        self._idle: list[sqlite3.Connection] = []
        self._writing = threading.Lock()
        try:
            with self._lent() as connection:
                self._prepare(connection)
        except sqlite3.Error as error:
            raise WorkshopError(f"{path} cannot hold a class ({error}); choose another file for --workshop.") from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A view that does not change while it is read."""
        with self._lent() as connection, within(connection, "BEGIN"):
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, on disk at the end."""
        with self._writing, self._lent() as connection, within(connection, "BEGIN IMMEDIATE"):
            yield connection

    def tidy(self) -> None:
        """Fold the log into the file, so that nothing deleted stays in either."""
        with self._writing, self._lent() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        query = f"?vfs={self._vfs}" if self._vfs else ""
        connection = sqlite3.connect(
            self.path.absolute().as_uri() + query,
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,  # lent to one thread at a time
        )
        connection.row_factory = sqlite3.Row
        for setting in ("foreign_keys = ON", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {setting}")
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            self.note = (
                f"{self.path}: this folder cannot do SQLite's write-ahead log (a network disk?); the class runs with a "
                "slower journal. Choose a folder on a local disk for --workshop."
            )
        with self._writing, within(connection, "BEGIN IMMEDIATE"):
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise WorkshopError(f"{self.path} was written by a later version; choose another file for --workshop.")
            if found == 0:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise WorkshopError(f"{self.path} holds something else; choose another file for --workshop.")
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def within(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """A transaction; whatever is raised inside takes it back."""
    connection.execute(begin)
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
