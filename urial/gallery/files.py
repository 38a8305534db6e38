"""Where recordings lie, and how they get there: whole files or none, named so that they sort in the list's order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urial.errors import Failure, GalleryError, RecordError
from urial.files import write_whole
from urial.gallery.entries import Entry, load_entry
from urial.gallery.listing import Item

DIGITS = 7  # significant ones of a number in a file: single precision holds no more


@dataclass(frozen=True, slots=True)
class Place:
    """Where a recording lies: its number in the list gives the file its place among the others."""

    folder: Path
    number: int
    item: Item

    @property
    def path(self) -> Path:
        return self.folder / f"{self.number:02}-{self.item.id}.json"

    def found(self) -> list[Path]:
        """Files of this recording, under whatever number."""
        return [path for path in sorted(self.folder.glob("*.json")) if id_of(path) == self.item.id]


def id_of(path: Path) -> str:
    """The recording's id, from its file's name."""
    return path.stem.partition("-")[2]


def places(folder: Path, items: Sequence[Item]) -> list[Place]:
    """One for each item of a whole list."""
    return [Place(folder, number, item) for number, item in enumerate(items, start=1)]


def unlisted(folder: Path, items: Sequence[Item]) -> list[Path]:
    """Recordings that the list does not hold."""
    known = {item.id for item in items}
    return [path for path in sorted(folder.glob("*.json")) if id_of(path) not in known]


def make_folder(folder: Path) -> None:
    """Raises GalleryError where recordings cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise GalleryError(f"{folder} cannot take recordings ({error.strerror}); choose another --out.") from error


def recorded(place: Place) -> Entry | None:
    """What lies there; None where nothing does, or nothing that can be read: it is made anew then."""
    for path in place.found():
        try:
            return load_entry(path)
        except RecordError:
            continue
    return None


def write(place: Place, entry: Entry) -> None:
    """The whole file or none, in place of any earlier file of this recording. Raises Failure."""
    text = json.dumps(shortened(entry.model_dump(by_alias=True)), ensure_ascii=False, separators=(",", ":"))
    try:
        write_whole(place.path, text + "\n")
        for path in place.found():
            if path != place.path:
                path.unlink()
    except OSError as error:
        what = f"{place.path} could not be written ({error.strerror})"
        raise Failure(f"{what}; free some space or choose another --out.") from error


def shortened(value: Any) -> Any:
    """The same data, each number as long as its precision is worth."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: shortened(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(inner) for inner in value]
    return value
