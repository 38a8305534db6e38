"""A corpus to look into: a folder that `urial corpus` has written, or a recording, which is one small file.

A recording's first line holds figures and the table, each further line one question's answers, packed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from urial.corpus.folder import SCHEMA, read_summary, write_text
from urial.corpus.lines import FILE, Place, places
from urial.corpus.views import TOP, Row, packed_questions, question_payload, table_rows, unpack
from urial.errors import RecordError

RECORDED = Path(__file__).parent / "recorded.jsonl"  # the held-out questions by the embedded pair
CUT = "Each token's lists of alternatives are cut to {top} to keep this recording small."


class Source(Protocol):
    """What a page shows: `front` is {"summary", "rows", "note"}, `question` the view's data by method."""

    def front(self) -> Row: ...

    def question(self, name: str) -> Row: ...


def open_source(path: str | Path) -> Source:
    """Raises RecordError where there is no corpus, or one of another schema."""
    found = Path(path)
    return Recording(found) if found.is_file() else Folder(found)


def missing(name: str) -> RecordError:
    return RecordError(f"There is no answer to the question {name[:80]!r} here; load the page again.")


class Folder:
    """A corpus's own folder; its table and the places of its lines are read once, when they are first wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._summary = read_summary(path)
        if not (path / FILE).is_file():
            raise RecordError(f"{path / FILE} is missing; name a folder of `urial corpus`.")

    def front(self) -> Row:
        return {"summary": self._summary, "rows": self._rows, "note": ""}

    def question(self, name: str) -> Row:
        if name not in self._places:
            raise missing(name)
        return question_payload(self._path, self._places[name])

    @cached_property
    def _rows(self) -> list[Row]:
        return table_rows(self._path)

    @cached_property
    def _places(self) -> dict[str, dict[str, Place]]:
        return places(self._path)


class Recording:
    """One file; questions stay packed until they are opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = self._lines()
        self._front = next(lines, None)
        schema = (self._front or {}).get("summary", {}).get("schema")
        if schema != SCHEMA:
            raise RecordError(f'{path}: key "summary.schema" is {schema!r}; it must be "{SCHEMA}".')
        self._packed = {line["id"]: line["packed"] for line in lines}

    def front(self) -> Row:
        return self._front or {}

    def question(self, name: str) -> Row:
        if name not in self._packed:
            raise missing(name)
        return unpack(self._packed[name])

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
        except OSError as error:
            raise RecordError(f"{self._path} cannot be read ({error.strerror}); name a recorded corpus.") from error
        except ValueError as error:
            raise RecordError(f"{self._path} is no recorded corpus ({error}); name another file.") from error


def record(folder: Path, path: Path, top: int = TOP) -> None:
    """Write a recording of a folder. Raises Failure."""
    front = {
        "summary": read_summary(folder),
        "rows": table_rows(folder),
        "note": "" if top == TOP else CUT.format(top=top),
    }
    lines = [front, *({"id": question, "packed": text} for question, text in packed_questions(folder, top))]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines))
