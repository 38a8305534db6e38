"""A line of `records.jsonl`: a record `urial.comparison/1` with one more key, `corpus`, that says whose it is.

A question that failed has a line too: `{"corpus": {...}, "query": "...", "error": "one sentence"}`.
`run.py` writes lines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from urial import records
from urial.errors import RecordError
from urial.records import Comparison
from urial.validation import first_wrong, json_value

FILE = "records.jsonl"


class Origin(BaseModel):
    """Which question of which file a line answers, and by which method; `key` names all that decides the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    id: str
    method: str
    tags: dict[str, list[str]] = Field(default_factory=dict)  # such as {"task": ["writing"], "topic": ["nature"]}


class Line(BaseModel):
    """A finished question (`record`) or a failed one (`error`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: Origin
    query: str
    record: Comparison | None = None
    error: str | None = None


def to_text(line: Line) -> str:
    """One line of JSON, its line break included."""
    own: dict[str, Any] = {"corpus": line.origin.model_dump()}
    if line.record is None:
        data = {**own, "query": line.query, "error": line.error or "It failed without a reason."}
    else:
        data = {**line.record.model_dump(by_alias=True), **own}
    return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"


def from_text(text: str, source: str) -> Line:
    """Parse and check. Raises RecordError that names `source` and the first wrong key."""
    data = json_value(text, source, "the file was changed or cut")
    if not isinstance(data, dict) or "corpus" not in data:
        raise RecordError(f'{source}: key "corpus" is missing; choose a folder that `urial corpus` has written.')
    try:
        origin = Origin.model_validate(data.pop("corpus"))
    except ValidationError as error:
        wrong = first_wrong(error)
        raise RecordError(f'{source}: key "corpus.{wrong.key}": {wrong.message}.') from error
    if "error" in data:
        return Line(origin=origin, query=str(data.get("query", "")), error=str(data["error"]))
    record = records.from_data(data, source)
    return Line(origin=origin, query=record.query, record=record)


def read_lines(folder: str | Path) -> Iterator[Line]:
    """All whole lines of the folder's file, one at a time: a corpus may not fit into memory.

    A last line without its line break was cut by a crash and is passed over. Raises RecordError.
    """
    path = Path(folder) / FILE
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                if raw.endswith(b"\n"):
                    yield from_text(raw.decode("utf-8", "strict"), f"{path}, line {number}")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a folder of `urial corpus`.") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is not UTF-8 text; the file was changed.") from error


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line lies in the file, in bytes."""

    offset: int
    size: int


def places(folder: str | Path) -> dict[str, dict[str, Place]]:
    """{question id: {method: place}} of the newest lines with a record, so that one can be read without the others."""
    found: dict[str, dict[str, Place]] = {}
    offset = 0
    path = Path(folder) / FILE
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                whose = _whose(raw, f"{path}, line {number}") if raw.endswith(b"\n") else None
                if whose is not None:
                    found.setdefault(whose[0], {})[whose[1]] = Place(offset, len(raw))
                offset += len(raw)
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a folder of `urial corpus`.") from error
    return found


def _whose(raw: bytes, source: str) -> tuple[str, str] | None:
    """(question id, method) of a line with a record. The record itself is checked when it is read."""
    try:
        data = json.loads(raw)
        own = data["corpus"]
        return None if "error" in data else (str(own["id"]), str(own["method"]))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise RecordError(f"{source} is no line of a corpus; the file was changed.") from error


def read_at(folder: str | Path, place: Place) -> Line:
    """One line. Raises RecordError where the file has changed."""
    path = Path(folder) / FILE
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            return from_text(file.read(place.size).decode("utf-8", "replace"), str(path))
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a folder of `urial corpus`.") from error


def cut_torn_end(path: Path) -> None:
    """Drop what stands behind the last line break: a line that a crash cut short."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data_end = file.seek(0, os.SEEK_END)
        block, end = 1 << 16, data_end
        while end > 0:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)
