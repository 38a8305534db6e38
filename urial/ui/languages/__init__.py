"""The words of the main page, one file a language; English is what the page is written in.

`{n}`, `{n2}` are numbers, `{text}` is left as it is, any other place holds words of the dictionary. A key that counts
has a form for each of the language's plural categories. Knows files only; `assets/language.js` puts the words in.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

NAMES = {"en": "English", "ja": "日本語"}


@cache
def dictionary(language: str) -> dict[str, str]:
    """Texts by key."""
    return json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))


def dictionaries() -> dict[str, dict[str, str]]:
    """All of them, by language."""
    return {language: dictionary(language) for language in NAMES}


def switch() -> str:
    """The switch as HTML; the style sheet marks the language that the page is in."""
    buttons = [
        f'<button type="button" data-language="{name}" lang="{name}">{title}</button>' for name, title in NAMES.items()
    ]
    return f'<nav id="languages" aria-label="Language / 言語">{"".join(buttons)}</nav>'
