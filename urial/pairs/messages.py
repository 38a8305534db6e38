"""What is wrong with `models.yaml`, in one line: where, what was found, what is allowed.

Takes pydantic's errors apart and words them with the schema's own descriptions; knows nothing about reading files.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import date
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from urial.pairs.schema import Document, KeyProblem
from urial.validation import Wrong, first_wrong

Path = tuple[str | int, ...]  # keys and places in lists, from the top


def explain(error: ValidationError) -> str:
    """The first thing that is wrong."""
    wrong = first_wrong(error)
    path, problem = wrong.path, wrong.cause
    if wrong.kind == "extra_forbidden":
        return f"{key_path(path)} is not a known key{meant(str(path[-1]), keys_at(path))}."
    if wrong.kind == "missing":
        return f"{key_path(path)} is missing; it must be {allowed(path)}."
    if isinstance(problem, KeyProblem):
        return f"{key_path((*path, problem.key) if problem.key else path)} {problem}."
    hint = quotes_hint(wrong.kind, wrong.found) + meant_value(wrong)
    return f"{key_path(path)} is {shown(wrong.found)}; it must be {allowed(path)}{hint}."


def key_path(path: Path) -> str:
    """`pairs[2].base.hub`; the whole file for an empty path."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the file"


def meant(word: str, known: Iterable[str]) -> str:
    """A guess at a misspelt word, and what is known."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    guess = f'did you mean "{near[0]}"? Known' if near else "known"
    return f"; {guess} here: {', '.join(known)}"


def meant_value(wrong: Wrong) -> str:
    """A guess at a misspelt choice."""
    if wrong.kind != "literal_error" or not isinstance(wrong.found, str):
        return ""
    choices = [choice.strip("'") for choice in wrong.context["expected"].replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(wrong.found, choices, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def quotes_hint(kind: str, value: Any) -> str:
    """YAML reads 12, yes and 2024-01-01 as something else than text."""
    is_scalar = not isinstance(value, str | list | dict)
    return "; put it in quotes" if kind == "string_type" and is_scalar else ""


def shown(value: Any) -> str:
    """A value on one line, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return f"the date {value}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def allowed(path: Path) -> str:
    if isinstance(path[-1], int):
        return "a pair: a mapping with name, title, base, aligned, licence and more"
    field = field_at(path)
    return field.description if field and field.description else "a mapping with the keys of the header"


def keys_at(path: Path) -> list[str]:
    """The keys that are known where the last step of `path` stands."""
    part = part_at(path[:-1])
    return list(part.model_fields) if part else []


def field_at(path: Path) -> FieldInfo | None:
    """The schema's field for the last key of `path`; a place in a list counts as its list."""
    keys = [step for step in path if isinstance(step, str)]
    part: type[BaseModel] | None = Document
    field = None
    for key in keys:
        field = part.model_fields.get(key) if part else None
        part = model_in(field.annotation) if field else None
    return field


def part_at(path: Path) -> type[BaseModel] | None:
    if not path:
        return Document
    field = field_at(path)
    return model_in(field.annotation) if field else None


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `list[Model]`."""
    if get_origin(annotation) in (list, Union, UnionType):
        return next((found for part in get_args(annotation) if (found := model_in(part))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
