"""One recording of the gallery, `urial.gallery/1`: the turns of a conversation with a sentence on what to look at.

A file holds {"schema", "title", "topic", "look_at", "recorded_at", "turns"}, every turn a `urial.comparison/1`.
Files sort by name, which gives the gallery its order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from urial.errors import RecordError
from urial.records import Comparison, Part
from urial.validation import first_wrong, json_value

SCHEMA: Literal["urial.gallery/1"] = "urial.gallery/1"
FOLDER = Path(__file__).parent / "recordings"


class Entry(Part):
    """`look_at` is one sentence for a visitor; `recorded_at` is an ISO date and time (UTC); turns come in order."""

    schema_name: Literal["urial.gallery/1"] = Field(SCHEMA, alias="schema")
    title: str
    topic: str
    look_at: str
    recorded_at: str
    turns: Annotated[list[Comparison], Field(min_length=1)]


def load_entry(path: Path) -> Entry:
    """Read one recording. Raises RecordError that names the file and the first wrong key."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read ({error.strerror}); record the gallery again.") from error
    data = json_value(text, path.name, "record the gallery again")
    try:
        return Entry.model_validate(data)
    except ValidationError as error:
        wrong = first_wrong(error)
        raise RecordError(f'{path.name}: key "{wrong.key}": {wrong.message}; record the gallery again.') from error


def load_entries(folder: Path = FOLDER) -> list[Entry]:
    """All recordings of a folder, in the order of their file names. Raises RecordError for a broken one."""
    return [load_entry(path) for path in sorted(folder.glob("*.json"))]
