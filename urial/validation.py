"""From JSON text to a value or a model that has been checked, or one sentence that names what is wrong with it.

`first_wrong` is how every closed format here (pairs, records, lists, settings, replies) words pydantic's errors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from urial.errors import RecordError, UrialError

WRITERS = {  # the command that writes a document which a person saves and opens
    "urial.comparison/1": "urial compare QUERY --save FILE",
    "urial.dial/1": "urial dial QUERY --save FILE",
    "urial.nudge/1": "urial nudge QUERY --save FILE",
}

Document = TypeVar("Document", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong with a value: where, of which of pydantic's kinds, and pydantic's own words."""

    path: tuple[str | int, ...]  # keys and places in lists, from the top; empty for the whole
    kind: str  # pydantic's error type: missing, extra_forbidden, ...
    message: str
    found: Any
    cause: Exception | None  # what a validator of ours raised
    context: dict[str, Any]

    @property
    def key(self) -> str:
        """`turns.0.query`; empty for the whole."""
        return ".".join(map(str, self.path))


def first_wrong(error: ValidationError) -> Wrong:
    """An unknown key before all others, since a missing one is often the same key misspelt; else the first."""
    every = error.errors(include_url=False)
    first = next((item for item in every if item["type"] == "extra_forbidden"), every[0])
    context = first.get("ctx", {})
    return Wrong(first["loc"], first["type"], first["msg"], first["input"], context.get("error"), context)


def parse(text: str | bytes, model: type[Document], schema: str, source: str) -> Document:
    """Raises RecordError; `source` is what it calls the document."""
    return validated(json_value(text, source, "choose a file saved by this program"), model, schema, source)


def json_value(text: str | bytes, source: str, advice: str, error: type[UrialError] = RecordError) -> Any:
    """The value of a JSON text that somebody sent. Raises `error`: what `source` is instead, and what to do."""
    try:
        return json.loads(text)
    except RecursionError as cause:
        raise error(f"{source} is nested too deeply; {advice}.") from cause
    except json.JSONDecodeError as cause:
        raise error(f"{source} is not JSON ({cause}); {advice}.") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{source} is not UTF-8 text (byte {cause.start + 1}); {advice}.") from cause
    except ValueError as cause:  # Python reads no whole number of more than 4,300 digits
        raise error(f"{source} holds a number with too many digits; {advice}.") from cause


def kind_of(value: object) -> str:
    """What a value of JSON is, for a sentence."""
    kinds = ((bool, "true or false"), (str, "a text"), (int | float, "a number"), (list, "a list"), (dict, "an object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")


def validated(data: object, model: type[Document], schema: str, source: str) -> Document:
    """The same of parsed JSON. Raises RecordError."""
    if not isinstance(data, dict):
        raise RecordError(f'{source} holds no JSON object with the key "schema": "{schema}"{written_by(schema)}.')
    if data.get("schema") != schema:
        raise RecordError(
            f'{source}: key "schema" is {data.get("schema")!r}; it must be "{schema}"{written_by(schema)}.'
        )
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = first_wrong(error)
        raise RecordError(f'{source}: key "{wrong.key}": {wrong.message}.') from error


def written_by(schema: str) -> str:
    """Which command writes such a document, for the end of a sentence."""
    return f", as `{WRITERS[schema]}` writes it" if schema in WRITERS else ""


def read(path: str | Path) -> bytes:
    """Raises RecordError where the file is missing or cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a saved comparison.") from error
