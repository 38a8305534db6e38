"""The records of an answer that was written by two models together: `urial.dial/1` and `urial.nudge/1`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from urial import validation
from urial.records import (
    ContextName,
    Message,
    PairInfo,
    Part,
    Probability,
    Rank,
    Rewrite,
    Settings,
    StopReason,
)

DIAL_SCHEMA: Literal["urial.dial/1"] = "urial.dial/1"
NUDGE_SCHEMA: Literal["urial.nudge/1"] = "urial.nudge/1"
DialKind = Literal["logits", "adapter"]


class DialPosition(Part):
    """The answer at one amount of alignment; T tokens, the end token included where the model produced one."""

    at: Annotated[float, Field(ge=0.0)]
    text: str
    token_ids: list[int]
    stop_reason: StopReason
    base_ranks: list[Rank | None]  # of each token, as far as the base has read; null for one that it does not know
    shifted: Probability | None  # the share of tokens with a base rank above 3, end tokens left out
    tokens: int  # that the share is over
    declines: bool  # by its words


class DialRecord(Part):
    """`switch_points`: of the tokens of the answer at 1, with the base in this context; empty where 1 was not asked."""

    schema_name: Literal["urial.dial/1"] = Field(DIAL_SCHEMA, alias="schema")
    query: str
    history: list[Message]
    pair: PairInfo
    settings: Settings
    kind: DialKind
    context: ContextName | None  # what the base sees; null for an adapter, whose one prompt is the chat template
    positions: list[DialPosition]
    switch_points: list[Probability | None]
    problems: list[str] = Field([], exclude_if=lambda value: not value)
    rewrite: Rewrite | None = Field(None, exclude_if=lambda value: value is None)  # only under `--aligned-method s2a`


class NudgeRecord(Part):
    """`given` holds the positions of tokens that the aligned model gave."""

    schema_name: Literal["urial.nudge/1"] = Field(NUDGE_SCHEMA, alias="schema")
    query: str
    history: list[Message]
    pair: PairInfo
    settings: Settings
    rule: str
    context: ContextName
    text: str
    token_ids: list[int]
    token_texts: list[str]
    given: list[int]
    stop_reason: StopReason
    mean_log_probability: float | None  # of its tokens under the aligned model, nats
    declines: bool  # by its words
    problems: list[str] = Field([], exclude_if=lambda value: not value)
    rewrite: Rewrite | None = Field(None, exclude_if=lambda value: value is None)  # only under `--aligned-method s2a`

    @model_validator(mode="after")
    def _given_are_positions(self) -> NudgeRecord:
        if any(not 0 <= position < len(self.token_ids) for position in self.given):
            raise ValueError("given holds a position that the answer does not have")
        return self


def to_json(record: DialRecord | NudgeRecord, indent: int | None = None) -> str:
    """The record as JSON text."""
    return json.dumps(record.model_dump(by_alias=True), ensure_ascii=False, indent=indent)


def load_dial(path: str | Path) -> DialRecord:
    """Raises RecordError where the file is missing or broken."""
    return validation.parse(validation.read(path), DialRecord, DIAL_SCHEMA, str(path))


def load_nudge(path: str | Path) -> NudgeRecord:
    """Raises RecordError where the file is missing or broken."""
    return validation.parse(validation.read(path), NudgeRecord, NUDGE_SCHEMA, str(path))


def given_words(record: NudgeRecord) -> str:
    """ "9 of 143 tokens given (6 %)"."""
    given, total = len(record.given), len(record.token_ids)
    share = f" ({100 * given / total:.0f} %)" if total else ""
    return f"{given} of {total} tokens given{share}"
