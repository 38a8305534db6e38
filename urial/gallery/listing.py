"""What the gallery records, `queries.yaml`: read and checked, with one sentence for each mistake."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from urial.errors import GalleryError, UrialError
from urial.pairs.reading import StrictLoader, one_line
from urial.prompts import check_query, method
from urial.validation import first_wrong

QUERIES = Path(__file__).parent / "queries.yaml"

Text = Annotated[str, Field(min_length=1)]


class Item(BaseModel):
    """One recording to make: `turns` are the user's messages in order, `look_at` is a sentence for a visitor."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: Text
    topic: Text
    turns: Annotated[list[Text], Field(min_length=1)]
    look_at: Text
    method: Text = "urial"
    examples: int | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 160


def load_items(path: Path = QUERIES) -> list[Item]:
    """All items, in the file's order, which is the gallery's. Raises GalleryError for the first thing that is wrong."""
    data = read(path)
    if not isinstance(data, list) or not data:
        raise GalleryError(f"{path.name} must be a list of recordings, each with id, title, topic, turns and look_at.")
    items = [checked(each, f"{path.name}: number {number}") for number, each in enumerate(data, start=1)]
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise GalleryError(f"{path.name}: two recordings have the id {item.id!r}; rename one.")
        seen.add(item.id)
    return items


def read(path: Path) -> Any:
    """The file's YAML. Raises GalleryError."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise GalleryError(f"{path} cannot be read ({error.strerror}); name a list of recordings.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise GalleryError(f"{path.name} is not YAML that can be read ({one_line(error)}); correct it.") from error


def checked(data: object, where: str) -> Item:
    """One item whose method exists and whose turns can be asked."""
    if isinstance(data, dict) and isinstance(data.get("id"), str):
        where = f"{where} ({data['id']})"
    try:
        item = Item.model_validate(data)
    except ValidationError as error:
        wrong = first_wrong(error)
        known = f"; known keys: {', '.join(Item.model_fields)}" if wrong.kind == "extra_forbidden" else ""
        raise GalleryError(f"{where}: {wrong.key or 'the entry'}: {wrong.message.lower()}{known}.") from error
    try:
        method(item.method, item.examples)
        for turn in item.turns:
            check_query(turn)
    except UrialError as error:
        raise GalleryError(f"{where}: {error}") from error
    return item


def chosen(items: Sequence[Item], only: Collection[str]) -> list[Item]:
    """Those that are named; all where none is. Raises GalleryError for a name that the list does not hold."""
    known = [item.id for item in items]
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f'did you mean "{near[0]}"? ' if near else ""
            raise GalleryError(f"There is no recording {name!r} in the list; {guess}Known: {', '.join(known)}.")
    return [item for item in items if not only or item.id in only]
