"""A question of a corpus for the eye: the token view's data of all its methods, packed small, and a row for the table.

A question's methods share the aligned answer and its alternatives, so they are packed together and only once.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from urial.corpus.lines import Line, Place, places, read_at, read_lines
from urial.errors import RecordError
from urial.records import Comparison
from urial.render import view

Row = dict[str, Any]
TOP = 10  # alternatives that a record holds


def table_rows(folder: str | Path) -> list[Row]:
    """One row a question, in the file's order: {"id", "query", "tags", "turns", "methods": {name: facts}}."""
    rows: dict[str, Row] = {}
    for line in read_lines(folder):
        own = {"id": line.origin.id, "query": line.query, "tags": line.origin.tags, "turns": 1, "methods": {}}
        row = rows.setdefault(line.origin.id, own)
        row["methods"][line.origin.method] = _facts(line)
        if line.record is not None:
            row["turns"] = 1 + len(line.record.history) // 2
    return list(rows.values())


def _facts(line: Line) -> Row:
    record = line.record
    if record is None:
        return {"key": line.origin.key, "error": line.error}
    return {
        "key": line.origin.key,
        "words": {"base": len(record.base.text.split()), "aligned": len(record.aligned.text.split())},
        "stop": {"base": record.base.stop_reason, "aligned": record.aligned.stop_reason},
        "contexts": {
            name: {
                "tokens": shift.summary.tokens,
                "shifted": shift.summary.shifted,
                "unshifted": shift.summary.unshifted,
                "mean_kl": shift.summary.mean_kl,
            }
            for name, shift in record.shift.items()
        },
    }


def question_payload(folder: str | Path, methods: Mapping[str, Place]) -> Row:
    """{method: the view's data} of one question, from `lines.places`."""
    return {name: view.payload(recorded(read_at(folder, place))) for name, place in methods.items()}


def recorded(line: Line) -> Comparison:
    """Raises RecordError for a line without a record: the file is another one than it was."""
    if line.record is None:
        raise RecordError("The corpus has changed since this page was opened; load the page again.")
    return line.record


def packed_questions(folder: str | Path, top: int = TOP, step: int = 1) -> Iterator[tuple[str, str]]:
    """(question id, its `question_payload` without what is there twice, as JSON, deflated, base64), one at a time.

    With a `step`, only every so manieth question.
    """
    for question, methods in list(places(folder).items())[::step]:
        whole = question_payload(folder, methods)
        yield question, pack(without_twins({name: cut_lists(found, top) for name, found in whole.items()}))


def pack(value: object) -> str:
    """What a browser's DecompressionStream("deflate") reads."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpack(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text)))


def cut_lists(payload: Row, top: int) -> Row:
    """The same with shorter lists of alternatives, and no token texts that only the longer ones named."""
    if top >= TOP:
        return payload
    shift = {name: {**found, "rows": _cut_rows(found["rows"], top)} for name, found in payload["shift"].items()}
    return {**payload, "shift": shift}


def _cut_rows(rows: Row, top: int) -> Row:
    lists = {key: [entry[:top] for entry in rows[key]] for key in rows if key.startswith(("base_top", "aligned_top"))}
    named = [*rows["token"], *_all(lists["base_top"]), *_all(lists["aligned_top"])]
    places = {old: new for new, old in enumerate(dict.fromkeys(named))}

    def renamed(entries: Sequence[Sequence[int]]) -> list[list[int]]:
        return [[places[index] for index in entry] for entry in entries]

    return {
        **rows,
        **lists,
        "table": [rows["table"][old] for old in places],
        "token": [places[index] for index in rows["token"]],
        "base_top": renamed(lists["base_top"]),
        "aligned_top": renamed(lists["aligned_top"]),
    }


def _all(entries: Iterable[Iterable[int]]) -> list[int]:
    return [index for entry in entries for index in entry]


def without_twins(payloads: Mapping[str, Row]) -> dict[str, Row]:
    """A context that an earlier method has just so is named by that method: {"same_as": name}."""
    found: dict[str, Row] = {}
    for method, payload in payloads.items():
        shift = {name: _twin(name, context, found) or context for name, context in payload["shift"].items()}
        found[method] = {**payload, "shift": shift}
    return found


def _twin(name: str, context: Row, earlier: Mapping[str, Row]) -> Row | None:
    for method, payload in earlier.items():
        if payload["shift"].get(name) == context:
            return {"same_as": method}
    return None
