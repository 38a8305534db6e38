"""What a teacher can choose from: the gallery's recordings and the ready sets, and records of the teacher's own.

Recordings are read once, when the first teacher asks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from urial import records
from urial.errors import UserMistake, WorkshopError
from urial.gallery import FOLDER
from urial.gallery.entries import load_entry
from urial.gallery.files import id_of
from urial.workshop.dial import choices, default_word
from urial.workshop.kinds import KINDS, kind_of
from urial.workshop.material import Material, of_comparison
from urial.workshop.names import TITLE_LENGTH, cleaned
from urial.workshop.rooms import NewItem

SETS = Path(__file__).parent / "sets.yaml"


@dataclass(frozen=True, slots=True)
class Recording:
    """One turn of a recording; `id` is its file's and the turn's number from 1."""

    id: str
    title: str
    topic: str
    look_at: str
    material: Material


class Shelf:
    """The recordings of a folder."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    @cached_property
    def recordings(self) -> dict[str, Recording]:
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            entry = load_entry(path)
            for number, turn in enumerate(entry.turns, start=1):
                name = f"{id_of(path) or path.stem}/{number}"
                found[name] = Recording(name, entry.title, entry.topic, entry.look_at, of_comparison(turn))
        return found

    @cached_property
    def sets(self) -> list[dict[str, Any]]:
        """Ready sets of which every recording is here: [{"id", "items": [{"entry", "kind"}]}]."""
        listed = yaml.safe_load(SETS.read_text(encoding="utf-8"))
        return [each for each in listed if all(item["entry"] in self.recordings for item in each["items"])]

    def listed(self) -> dict[str, Any]:
        """For the teacher's form."""
        entries = [
            {
                "id": each.id,
                "title": each.title,
                "topic": each.topic,
                "query": each.material.query,
                "kinds": [name for name in KINDS if is_possible(name, each.material)],
            }
            for each in self.recordings.values()
        ]
        return {"entries": entries, "sets": self.sets}

    def item(self, asked: object, aspects: bool) -> NewItem:
        """An item of a new room, {"kind", "entry"} or {"kind", "record"}, with "word" on a dial. Raises UserMistake."""
        if not isinstance(asked, dict):
            raise WorkshopError("An item must be an object with kind and entry, or kind and record.")
        kind = kind_of(asked.get("kind"))
        found = self._recording(asked)
        kind.check_material(found.material)
        options = kind.options(found.material, {"word": asked.get("word"), "aspects": aspects})
        return NewItem(kind.name, found.title, found.look_at, found.material, options)

    def dial_words(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What a dial can be about, of {"entry"} or {"record"}: {"words": [[number, text]], "word"}.

        `word` is the one that is taken where the host chooses none. Raises UserMistake.
        """
        material = self._recording(asked).material
        return {"words": [list(each) for each in choices(material)], "word": default_word(material)}

    def _recording(self, asked: dict[str, Any]) -> Recording:
        if "record" in asked:
            comparison = records.from_json(json.dumps(without_origin(asked["record"])), "A comparison of yours")
            title = cleaned(asked.get("title"), TITLE_LENGTH)
            return Recording("", title, "", "", of_comparison(comparison))
        found = self.recordings.get(str(asked.get("entry")))
        if found is None:
            raise WorkshopError("There is no such recording; load the page again.")
        return found


def without_origin(record: Any) -> Any:
    """A line of a corpus is a record with one more key, `corpus`."""
    return {key: value for key, value in record.items() if key != "corpus"} if isinstance(record, dict) else record


def is_possible(kind: str, material: Material) -> bool:
    try:
        kind_of(kind).check_material(material)
    except UserMistake:
        return False
    return True
