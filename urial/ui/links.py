"""A link that carries a question: its values as query parameters, checked like any other input.

A wrong value is left out and named; it never keeps the page from opening.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from urial.ui.asking import Ask

NUMBERS = {
    "temperature": float,
    "top_p": float,
    "max_new_tokens": int,
    "seed": int,
    "base_penalty": float,
    "aligned_penalty": float,
}
QUERY_LIMIT = 8000  # characters: longer ones do not survive as a link


@dataclass(frozen=True, slots=True)
class Linked:
    """The values that a link gives, by name, and what was wrong with the others."""

    values: dict[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def read_link(parameters: Mapping[str, str], pairs: Collection[str], methods: Collection[str]) -> Linked:
    """What a link's parameters say; names that this page does not know are passed over in silence."""
    values: dict[str, Any] = {}
    ignored = []
    for name in ("query", "pair", "method", *NUMBERS):
        if name not in parameters:
            continue
        try:
            values[name] = _value(name, parameters[name], pairs, methods)
        except ValueError:
            ignored.append(name)
    return Linked(values, tuple(ignored))


def _value(name: str, text: str, pairs: Collection[str], methods: Collection[str]) -> Any:
    """Raises ValueError for a value that the form could not hold."""
    if name == "query":
        return text[:QUERY_LIMIT]
    if name in ("pair", "method"):
        if text not in (pairs if name == "pair" else methods):
            raise ValueError(text)
        return text
    value = NUMBERS[name](text)
    try:
        Ask.model_validate({"query": "x", "pair": "x", name: value})
    except ValidationError as error:
        raise ValueError(text) from error
    return value
