"""The record of one comparison, `urial.comparison/1`: its types, its JSON, its validation.

Shapes: T answer positions, K = 10 entries in a top list. Ranks are 1-based, KL and JS are in nats, times in seconds.
Rows that are not scored. A position whose numbers could not be had keeps its row (position, id, text, is_special) with
`"class": "unscored"`, `base_rank`, `base_probability`, `kl` and `js` null, and one key more, `"reason"`, which other
rows do not have: `impossible_numbers` (what a server told contradicts itself), `missing` (a server told nothing, or no
number) or `not_in_base_vocabulary` (the base does not know the token). `aligned_rank` and `aligned_probability` stay
where the aligned model's part is sound, else they are null and its list is empty. Such rows are in no share and no
mean: `summary.tokens` does not count them, `summary.unscored` (there only where it is not 0) does, end tokens left out.
`switch_point` is null in such rows, where the shift is not exact, and where the token is not the aligned model's own
first choice; files from before it was there load. `summary.mean_switch_point` is over the rows that have one.
Repeats. `repeats` holds the positions of the aligned answer that repeat earlier ones word for word (`repeats.py`), as
spans [from, to). It follows from the answer's tokens, so files need not have it. Summaries count repeats, as the paper
does; headlines leave them out.

Knows nothing about models, prompts or pages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from urial import validation
from urial.repeats import Span, repeated_spans

SCHEMA: Literal["urial.comparison/1"] = "urial.comparison/1"

ShiftClass = Literal["unshifted", "marginal", "shifted", "unscored"]
UnscoredReason = Literal["impossible_numbers", "missing", "not_in_base_vocabulary"]
ContextName = Literal["zero_shot", "urial"]
SideName = Literal["base", "aligned"]
StopReason = Literal["stop", "length", "cancelled", "error"]

Rank = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
TopEntry = tuple[int, str, Probability]  # id, text, true probability


class Part(BaseModel):
    """A frozen part of the record; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Message(Part):
    role: Literal["user", "assistant"]
    content: str


class PairInfo(Part):
    """What ran: names as in `models.yaml`, revisions by side."""

    name: str
    base: str
    aligned: str
    dtype: str
    quantization: str | None
    device: str
    revisions: dict[str, str | None]


class SidePenalties(Part):
    base: float
    aligned: float


class SideSettings(Part):
    """How one side was decoded. Temperature 0 is greedy."""

    temperature: Annotated[float, Field(ge=0.0)]
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    repetition_penalty: float
    max_new_tokens: Annotated[int, Field(ge=1)]
    seed: int


class Retrieved(Part):
    """An example that retrieval put into the prompt: which, how similar by BM25, and by which words."""

    id: str
    query: str
    score: float
    matched: list[str]


class Settings(Part):
    """What both sides were asked with; a side that was decoded otherwise has its own (`Side.settings`)."""

    method: str
    examples: int
    temperature: Annotated[float, Field(ge=0.0)]
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    repetition_penalty: SidePenalties
    max_new_tokens: Annotated[int, Field(ge=1)]
    seed: int
    # Only where the method looks for examples: those in the prompt, the most similar last.
    retrieved: list[Retrieved] | None = Field(None, exclude_if=lambda value: value is None)

    def of(self, side: SideName) -> SideSettings:
        """What they say of one side."""
        return SideSettings(
            temperature=self.temperature,
            top_p=self.top_p,
            repetition_penalty=getattr(self.repetition_penalty, side),
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )


class Side(Part):
    """One model's answer. `token_ids` is all that the model produced, its end token included."""

    prompt: str
    prompt_ids: list[int]
    text: str
    token_ids: list[int]
    stop_reason: StopReason
    seconds: float
    first_token_seconds: float | None
    tokens_per_second: float | None
    # Only where this side was decoded otherwise than the record's settings say, as after another draw of one side.
    settings: SideSettings | None = Field(None, exclude_if=lambda value: value is None)


class TokenShift(Part):
    """One position of the aligned answer, seen by both models; what is null, and when: see the module."""

    position: Annotated[int, Field(ge=0)]
    id: int
    text: str
    base_rank: Rank | None
    shift_class: ShiftClass = Field(alias="class")
    base_probability: Probability | None
    aligned_probability: Probability | None
    aligned_rank: Rank | None
    kl: float | None
    js: float | None
    switch_point: Probability | None = None  # the amount of alignment from which on the token is the first choice
    is_special: bool
    base_top: list[TopEntry]
    aligned_top: list[TopEntry]
    # Only where the shift is not exact: the aligned mass that the bounds in `kl` and `js` could not see.
    uncovered: Probability | None = Field(None, exclude_if=lambda value: value is None)
    reason: UnscoredReason | None = Field(None, exclude_if=lambda value: value is None)  # why it is not scored

    @property
    def is_scored(self) -> bool:
        return self.shift_class != "unscored"

    @model_validator(mode="after")
    def _is_whole(self) -> TokenShift:
        """A scored row holds every number, an unscored one none of the base's, and says why."""
        of_base = (self.base_rank, self.base_probability, self.kl, self.js)
        of_both = (*of_base, self.switch_point)
        numbers = (*of_base, self.aligned_rank, self.aligned_probability)
        if self.is_scored and (None in numbers or self.reason is not None):
            raise ValueError(f"a row of class {self.shift_class} holds all numbers and no reason")
        if not self.is_scored and (self.reason is None or any(number is not None for number in of_both)):
            raise ValueError("a row of class unscored holds a reason, and null for what the base would tell")
        return self


class Summary(Part):
    """Over the rows that are scored and not special; fractions and means are null where there is none."""

    tokens: int
    unscored: int = Field(0, exclude_if=lambda value: value == 0)  # rows beside `tokens` that are not special
    unshifted: float | None
    marginal: float | None
    shifted: float | None
    mean_kl: float | None
    mean_base_rank: float | None
    mean_base_probability: float | None
    mean_switch_point: float | None = None


class ContextShift(Part):
    """The shift with one context in the base's sight."""

    context: str
    context_ids: list[int]
    exact: bool
    summary: Summary
    tokens: list[TokenShift]


class Problem(Part):
    """What could not be delivered: of a side, or of the shift (`name` is None), in one sentence."""

    name: SideName | None
    message: str


class Rewrite(Part):
    """What the aligned model was asked in place of the query, and the call that made it: System 2 Attention."""

    method: Literal["s2a"]
    call: Side
    context: str | None = None  # null, as the question, where the rewrite could not be read
    question: str | None = None
    asked: str
    fallback: str = Field("", exclude_if=lambda value: not value)  # why the query itself was asked


class Comparison(Part):
    schema_name: Literal["urial.comparison/1"] = Field(SCHEMA, alias="schema")
    query: str
    history: list[Message]
    pair: PairInfo
    settings: Settings
    base: Side
    aligned: Side
    shift: dict[ContextName, ContextShift]
    # Only where something failed: a reader of the record alone would not know why rows or tokens are missing.
    problems: list[Problem] = Field([], exclude_if=lambda value: not value)
    rewrite: Rewrite | None = Field(None, exclude_if=lambda value: value is None)  # only under `--aligned-method s2a`

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def repeats(self) -> list[Span]:
        return repeated_spans(self.aligned.token_ids)

    @model_validator(mode="before")
    @classmethod
    def _without_repeats(cls, data: Any) -> Any:
        """What a file says of repeats is made anew from its tokens, and so cannot contradict them."""
        return {key: data[key] for key in data if key != "repeats"} if isinstance(data, dict) else data

    def repeated_positions(self) -> set[int]:
        """All positions in `repeats`."""
        return {position for start, stop in self.repeats for position in range(start, stop)}

    def side(self, name: SideName) -> Side:
        return self.base if name == "base" else self.aligned

    def settings_of(self, name: SideName) -> SideSettings:
        """How this side was decoded."""
        return self.side(name).settings or self.settings.of(name)


def to_json(comparison: Comparison, indent: int | None = None) -> str:
    """The record as JSON text; keys as in the design."""
    return json.dumps(comparison.model_dump(by_alias=True), ensure_ascii=False, indent=indent)


def from_json(text: str | bytes, source: str = "the record") -> Comparison:
    """Parse and validate. Raises RecordError that names the first wrong key."""
    return validation.parse(text, Comparison, SCHEMA, source)


def from_data(data: object, source: str = "the record") -> Comparison:
    """The same of parsed JSON. Raises RecordError that names the first wrong key."""
    return validation.validated(data, Comparison, SCHEMA, source)


def load(path: str | Path) -> Comparison:
    """Read a record from a file. Raises RecordError where it is missing or broken."""
    return from_json(validation.read(path), source=str(path))
