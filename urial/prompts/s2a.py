"""System 2 Attention: the words of its two calls, and how a rewrite is read.

After Weston and Sukhbaatar (arXiv 2311.11829). `urial.compare.s2a_rewrite` makes the calls.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

NAME = "s2a"
PARTS = re.compile(r"^\W*context\W*?:(.*?)^\W*question\W*?:(.+)\Z", re.IGNORECASE | re.MULTILINE | re.DOTALL)
NO_CONTEXT = {"", "none", "n/a", "no context"}


class Texts(BaseModel):
    """The words of both calls."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rewrite: str
    answer: str


@cache
def load_texts() -> Texts:
    """Parsed once, on first use."""
    source = resources.files("urial.prompts").joinpath("s2a.yaml").read_text(encoding="utf-8")
    return Texts.model_validate(yaml.safe_load(source))


def rewrite_request(query: str) -> str:
    """What the model is asked first."""
    return load_texts().rewrite.strip().replace("{query}", query)


def read(text: str) -> tuple[str, str] | None:
    """Context (may be empty) and question of a rewrite; None where it has not both parts."""
    found = PARTS.search(text)
    if found is None:
        return None
    context, question = (part.strip(" \t\r\n*_") for part in found.groups())
    return ("" if context.lower().rstrip(".") in NO_CONTEXT else context, question) if question else None


def answer_request(context: str, question: str) -> str:
    """What the model is asked then."""
    parts = load_texts().answer.strip().split("\n\n")
    filled = [part.replace("{context}", context) if part == "{context}" else part for part in parts]
    return "\n\n".join(question if part == "{question}" else part for part in filled if part)
