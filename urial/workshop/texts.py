"""The words of the class's pages, one file a language under `languages/`; keys are the same in all.

A key that counts has a form for each of the language's plural categories: `answered.one`, `answered.other` in English,
`answered.other` in Japanese. `{name}` is a place for a value.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from urial.errors import SettingsError

FOLDER = Path(__file__).parent / "languages"
PLURALS = {"en": ("one", "other"), "ja": ("other",)}  # categories of Unicode's CLDR for whole numbers
DEFAULT = "en"
PLACE = re.compile(r"\{(\w+)\}")


@cache
def texts(language: str) -> dict[str, str]:
    """All texts of a language by key. Raises SettingsError for one that there is no file of."""
    if language not in PLURALS:
        raise SettingsError(f"There is no language {language!r}; choose one of {', '.join(PLURALS)}.")
    return json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))


def say(language: str, key: str, *, n: int | None = None, **values: str | int) -> str:
    """One text with its values; `n` chooses the plural form. The result is text, never markup."""
    found = texts(language)[key if n is None else f"{key}.{plural(language, n)}"]
    known = {**values, "n": n}
    return PLACE.sub(lambda place: str(known.get(place[1], place[0])), found)  # once: a value is never filled in again


def plural(language: str, n: int) -> str:
    return "one" if "one" in PLURALS[language] and n == 1 else "other"


def spoken(accepted: str) -> str:
    """The first language of an Accept-Language header that there is a file of."""
    for part in accepted.split(","):
        name = part.split(";")[0].strip().split("-")[0].lower()
        if name in PLURALS:
            return name
    return DEFAULT
