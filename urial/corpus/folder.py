"""A corpus's folder: its summary and what else stands in it, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from urial.errors import Failure, RecordError
from urial.files import write_whole
from urial.validation import json_value, kind_of

SUMMARY = "summary.json"
SCHEMA = "urial.corpus/1"


def write_text(path: Path, text: str) -> None:
    """The whole file or none. Raises Failure."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise Failure(f"{path} could not be written ({error.strerror}); free some space and run it again.") from error


def write_json(path: Path, data: object) -> None:
    write_text(path, json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def check_schema(folder: Path) -> None:
    """Raises RecordError for a folder whose summary is of another schema, or no summary at all."""
    path = folder / SUMMARY
    if path.exists():
        read_summary(folder)


def read_summary(folder: Path) -> dict[str, Any]:
    """Raises RecordError where there is none, or one of another schema."""
    path = folder / SUMMARY
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a folder of `urial corpus`.") from error
    data = json_value(text, str(path), "delete it, and `urial corpus` writes it anew")
    if not isinstance(data, dict):
        raise RecordError(f"{path} is {kind_of(data)} and no summary; delete it, and `urial corpus` writes it anew.")
    found = data.get("schema")
    if found != SCHEMA:
        raise RecordError(f'{path}: key "schema" is {found!r}; it must be "{SCHEMA}": choose another --out.')
    return data
