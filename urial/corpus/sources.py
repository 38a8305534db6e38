"""A corpus to look into: a folder that `urial corpus` has written, or a recording, which is one small file.

A recording's first line holds figures and the table, each further line one question's answers, packed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from urial.corpus.folder import SCHEMA, read_summary, write_text
from urial.corpus.lines import FILE, Place, places
from urial.corpus.views import (
    NOT_JUDGED,
    NOTHING_SAID,
    TOP,
    Row,
    pack,
    packed_questions,
    question_payload,
    table_rows,
    unpack,
)
from urial.errors import RecordError
from urial.validation import json_value, kind_of

RECORDED = Path(__file__).parent / "recorded.jsonl"  # the held-out questions by the embedded pair
CUT = "Each token's lists of alternatives are cut to {top} to keep this recording small."


Judge = Callable[[Path], Row]  # a folder's judgements, as `urial.judge.shown` gives them


class Source(Protocol):
    """What a page shows: `front` is {"summary", "rows", "note", "judged"}, `question` the view's data by method.

    `said` is what judges and guards said of a question's answers: {"verdicts", "labels"}.
    """

    def front(self) -> Row: ...

    def question(self, name: str) -> Row: ...

    def said(self, name: str) -> Row: ...


def open_source(path: str | Path, judge: Judge = lambda _: NOT_JUDGED) -> Source:
    """Raises RecordError where there is no corpus, or one of another schema."""
    found = Path(path)
    return Recording(found) if found.is_file() else Folder(found, judge)


def missing(name: str) -> RecordError:
    return RecordError(f"There is no answer to the question {name[:80]!r} here; load the page again.")


class Folder:
    """A corpus's own folder; its table and the places of its lines are read once, when they are first wanted."""

    def __init__(self, path: Path, judge: Judge) -> None:
        self._path, self._judge = path, judge
        self._summary = read_summary(path)
        if not (path / FILE).is_file():
            raise RecordError(f"{path / FILE} is missing; name a folder of `urial corpus`.")

    def front(self) -> Row:
        return {"summary": self._summary, "rows": self._rows, "note": "", "judged": self._judge(self._path)["front"]}

    def question(self, name: str) -> Row:
        if name not in self._places:
            raise missing(name)
        return question_payload(self._path, self._places[name])

    def said(self, name: str) -> Row:
        return self._judge(self._path)["questions"].get(name, NOTHING_SAID)

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
        summary = (self._front or {}).get("summary")
        schema = summary.get("schema") if isinstance(summary, dict) else None
        if schema != SCHEMA:
            raise RecordError(f'{path}: key "summary.schema" is {schema!r}; it must be "{SCHEMA}".')
        self._packed = {line["id"]: line for line in lines}

    def front(self) -> Row:
        return self._front or {}

    def question(self, name: str) -> Row:
        if name not in self._packed:
            raise missing(name)
        return unpack(self._packed[name]["packed"])

    def said(self, name: str) -> Row:
        found = self._packed.get(name, {}).get("said")
        return unpack(found) if found else NOTHING_SAID

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    yield _object(line, f"{self._path}, line {number}")
        except OSError as error:
            raise RecordError(f"{self._path} cannot be read ({error.strerror}); name a recorded corpus.") from error
        except UnicodeDecodeError as error:
            raise RecordError(f"{self._path} is no text, so it is no recorded corpus; name another file.") from error


def _object(line: str, source: str) -> dict[str, Any]:
    """One line of a recording. Raises RecordError."""
    found = json_value(line, source, "name a recorded corpus")
    if not isinstance(found, dict):
        raise RecordError(f"{source} is {kind_of(found)} and no object; name a recorded corpus.")
    return found


def record(folder: Path, path: Path, top: int = TOP, judged: Row = NOT_JUDGED) -> None:
    """Write a recording of a folder. Raises Failure."""
    front = {
        "summary": read_summary(folder),
        "rows": table_rows(folder),
        "note": "" if top == TOP else CUT.format(top=top),
        "judged": judged["front"],
    }
    said = {name: {"said": pack(value)} for name, value in judged["questions"].items()}
    questions = packed_questions(folder, top)
    lines = [front, *({"id": name, "packed": text, **said.get(name, {})} for name, text in questions)]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines))
