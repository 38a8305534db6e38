"""The rubrics' own words: `rubrics.yaml`, typed."""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field


class Closed(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RubricTexts(Closed):
    """One rubric. `choose` is there where what is scored is chosen for each question first."""

    version: int
    task: str
    scale: str
    aspects: dict[str, str]
    choose: str = ""


class Texts(Closed):
    judge: str
    six_aspects: RubricTexts = Field(alias="six-aspects")
    safety: RubricTexts
    pairwise: RubricTexts
    skills: RubricTexts


@cache
def load_texts() -> Texts:
    """Parsed once, on first use."""
    source = resources.files("urial.judge").joinpath("rubrics.yaml").read_text(encoding="utf-8")
    return Texts.model_validate(yaml.safe_load(source))
