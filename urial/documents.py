"""A saved document: from JSON text to a model that has been checked, or one sentence that names the first wrong key.

Knows JSON and pydantic; nothing about what a document holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from urial.errors import RecordError

WRITERS = {  # the command that writes a document which a person saves and opens
    "urial.comparison/1": "urial compare QUERY --save FILE",
    "urial.dial/1": "urial dial QUERY --save FILE",
    "urial.nudge/1": "urial nudge QUERY --save FILE",
}

Document = TypeVar("Document", bound=BaseModel)


def parse(text: str | bytes, model: type[Document], schema: str, source: str) -> Document:
    """Raises RecordError; `source` is what it calls the document."""
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise RecordError(f"{source} is nested too deeply; choose a file saved by this program.") from error
    except ValueError as error:
        raise RecordError(f"{source} is not JSON ({error}); choose a file saved by this program.") from error
    return validated(data, model, schema, source)


def validated(data: object, model: type[Document], schema: str, source: str) -> Document:
    """The same of parsed JSON. Raises RecordError."""
    if not isinstance(data, dict) or data.get("schema") != schema:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise RecordError(f'{source}: key "schema" is {found!r}; it must be "{schema}"{written_by(schema)}.')
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise RecordError(f'{source}: key "{key}": {first["msg"]}.') from error


def written_by(schema: str) -> str:
    """Which command writes such a document, for the end of a sentence."""
    return f", as `{WRITERS[schema]}` writes it" if schema in WRITERS else ""


def read(path: str | Path) -> bytes:
    """Raises RecordError where the file is missing or cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a saved comparison.") from error
