"""This project's own instructions and examples: `texts.yaml`, typed.

Both versions of URIAL draw on one list of examples; the first K of a version's order are its examples, so that the
prompt of a smaller K is the beginning of that of a larger one.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

Version = Literal["safe", "no_refusal"]


class Closed(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Example(Closed):
    """A query with its restyled answer, and the plain answer that vanilla ICL shows instead."""

    query: str
    answer: str
    plain: str | None = None


class VersionTexts(Closed):
    """What one version of URIAL shows: its instructions, and names of examples in order."""

    instructions: str
    order: tuple[str, ...]


class Texts(Closed):
    versions: dict[Version, VersionTexts]
    examples: dict[str, Example]

    def shown(self, version: Version, count: int) -> list[Example]:
        """The first `count` examples of a version."""
        return [self.examples[name] for name in self.versions[version].order[:count]]


@cache
def load_texts() -> Texts:
    """Parsed once, on first use."""
    source = resources.files("urial.prompts").joinpath("texts.yaml").read_text(encoding="utf-8")
    return Texts.model_validate(yaml.safe_load(source))
