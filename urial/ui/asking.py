"""What a visitor asks, from the page, a link or the API: values are checked and become a request of the core."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from urial.compare.request import Request
from urial.engines.base import Sampling
from urial.errors import SettingsError
from urial.pairs import Pair
from urial.prompts import check_history, check_query, method
from urial.records import Comparison, Message, SideName, SidePenalties
from urial.validation import first_wrong

TOKEN_LIMIT = 1024  # new tokens a side: longer answers belong to the command line
SAMPLED_TEMPERATURE = 0.7  # of "Again" where the settings are greedy: the greedy answer would come out the same


class Ask(BaseModel):
    """One question with all that decides its answer. Temperature 0 is greedy; penalties of 1 change nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    pair: str
    method: str = "urial"
    examples: int | None = None
    history: tuple[Message, ...] = ()
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=TOKEN_LIMIT)] = 256
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    base_penalty: Annotated[float, Field(gt=0, le=10)] = 1.1
    aligned_penalty: Annotated[float, Field(gt=0, le=10)] = 1.0


def parse(values: Mapping[str, Any]) -> Ask:
    """Checked values. Raises SettingsError or PromptError with one sentence for the first thing that is wrong."""
    try:
        ask = Ask.model_validate(dict(values))
    except ValidationError as error:
        wrong = first_wrong(error)
        name = wrong.key.replace("_", " ") or "the question"
        raise SettingsError(f"The setting “{name}” cannot be used: {wrong.message.lower()}.") from error
    check_query(ask.query)
    check_history(ask.history)
    return ask


def to_request(ask: Ask) -> Request:
    """The core's request. Raises SettingsError for a method or a number of examples that does not exist."""
    if ask.method == "file":
        raise SettingsError("Prompt files are read by the command line only; choose another method on the page.")
    return Request(
        query=ask.query,
        method=method(ask.method, ask.examples),
        history=ask.history,
        temperature=ask.temperature,
        top_p=ask.top_p,
        penalties=SidePenalties(base=ask.base_penalty, aligned=ask.aligned_penalty),
        max_new_tokens=ask.max_new_tokens,
        seed=ask.seed,
    )


def once_more(ask: Ask, earlier: Comparison, side: SideName, count: int) -> Request:
    """One side again: an answer that had ended gets another draw, one that was cut short is asked for as it was.

    Another draw takes the next seed; greedy settings are sampled for it, or nothing new could come.
    """
    before = earlier.settings_of(side).model_dump()
    if earlier.side(side).stop_reason in ("stop", "length"):
        before["seed"] = (earlier.settings.seed + count) % 2**31
        before["temperature"] = before["temperature"] or SAMPLED_TEMPERATURE
    return replace(to_request(ask), own={side: Sampling(**before)})


def cache_key(ask: Ask, pair: Pair, placement: str) -> str:
    """A name for everything that decides the answer: the question, the prompt's text, the models, where they run."""
    request = to_request(ask)
    parts = [
        ask.model_dump(exclude={"examples"}),
        request.method.identity,
        pair.model_dump(exclude={"title", "note", "licence", "paper"}),
        placement,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
