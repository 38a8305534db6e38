"""What a judge wrote, read leniently and then checked strictly: the last whole JSON object of a reply, its scores.

Judges wrap JSON in prose, fences and thoughts; what counts is the last balanced object in the reply.
"""

from __future__ import annotations

import json
from typing import Any

NOT_APPLICABLE = {"na", "n/a", "n.a.", "n.a", "not applicable", "not available", "none", "null", "-", "–", "—"}
LONGEST = 20_000  # characters at the end of a reply that are read; a verdict has a few hundred to a few thousand
LONGEST_QUOTE = 80


class Unparsed(ValueError):
    """A reply that holds no verdict; `str(error)` is said to the judge when it is asked once more."""


def last_object(text: str) -> dict[str, Any]:
    """The last balanced `{...}` of a text that is JSON. Raises Unparsed.

    An object inside another is not taken for it: of `{"a": {"b": 1}}` the whole is found.
    """
    text = text[-LONGEST:]
    found, start = None, text.find("{")
    while start >= 0:
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            found = value
        start = text.find("{", end)
    if found is None:
        raise Unparsed("The reply holds no JSON object.")
    return found


def plain(name: str) -> str:
    """A key as it is compared: small letters, with blanks and hyphens as underscores."""
    return "_".join(name.lower().replace("-", " ").replace("_", " ").split())


def is_not_applicable(value: object) -> bool:
    """Whether a score says that there is nothing to score: null, N/A and its spellings, `N/A (no facts in it)`."""
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    word = value.split("(")[0].split(":")[0].strip().strip("\"'[]").lower()
    return word in NOT_APPLICABLE


def whole_score(value: object) -> int:
    """A score from 1 to 5, also as text ("4", "4/5", "4.0"). Raises Unparsed, also for 4.5: it is asked again."""
    if isinstance(value, str):
        value = value.strip().strip("\"'[]").removesuffix("/5").removesuffix("/ 5").strip()
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or number not in (1, 2, 3, 4, 5):
        raise Unparsed(f"A score is {shown(value)}; it must be a whole number from 1 to 5, or null.")
    return int(number)


def shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + "…"
