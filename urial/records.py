"""The record of one comparison, `urial.comparison/1`: its types, its JSON, its validation.

Shapes: T answer positions, K = 10 entries in a top list. Ranks are 1-based, KL and JS are in nats, times in seconds.
Knows nothing about models, prompts or pages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from urial.errors import RecordError

SCHEMA = "urial.comparison/1"

ShiftClass = Literal["unshifted", "marginal", "shifted"]
ContextName = Literal["zero_shot", "urial"]
SideName = Literal["base", "aligned"]
StopReason = Literal["stop", "length", "cancelled", "error"]

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


class Settings(Part):
    """What both sides were asked with; a side that was decoded otherwise has its own (`Side.settings`)."""

    method: str
    examples: int
    temperature: Annotated[float, Field(ge=0.0)]
    top_p: Annotated[float, Field(gt=0.0, le=1.0)]
    repetition_penalty: SidePenalties
    max_new_tokens: Annotated[int, Field(ge=1)]
    seed: int

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
    """One position of the aligned answer, seen by both models."""

    position: Annotated[int, Field(ge=0)]
    id: int
    text: str
    base_rank: Annotated[int, Field(ge=1)]
    shift_class: ShiftClass = Field(alias="class")
    base_probability: Probability
    aligned_probability: Probability
    aligned_rank: Annotated[int, Field(ge=1)]
    kl: float
    js: float
    is_special: bool
    base_top: list[TopEntry]
    aligned_top: list[TopEntry]
    # Only where the shift is not exact: the aligned mass that the bounds in `kl` and `js` could not see.
    uncovered: Probability | None = Field(None, exclude_if=lambda value: value is None)


class Summary(Part):
    """Over the rows that are not special; fractions and means are null where there is none."""

    tokens: int
    unshifted: float | None
    marginal: float | None
    shifted: float | None
    mean_kl: float | None
    mean_base_rank: float | None
    mean_base_probability: float | None


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

    def side(self, name: SideName) -> Side:
        return self.base if name == "base" else self.aligned

    def settings_of(self, name: SideName) -> SideSettings:
        """How this side was decoded."""
        return self.side(name).settings or self.settings.of(name)


def classify(base_rank: int) -> ShiftClass:
    """The paper's three classes (section 2): rank 1, ranks 2 and 3, the rest."""
    if base_rank == 1:
        return "unshifted"
    return "marginal" if base_rank <= 3 else "shifted"


def summarize(tokens: list[TokenShift]) -> Summary:
    """Fractions and means over the rows that are not special."""
    rows = [token for token in tokens if not token.is_special]
    if not rows:
        return Summary(
            tokens=0,
            unshifted=None,
            marginal=None,
            shifted=None,
            mean_kl=None,
            mean_base_rank=None,
            mean_base_probability=None,
        )
    n = len(rows)

    def fraction(name: ShiftClass) -> float:
        return sum(row.shift_class == name for row in rows) / n

    return Summary(
        tokens=n,
        unshifted=fraction("unshifted"),
        marginal=fraction("marginal"),
        shifted=fraction("shifted"),
        mean_kl=sum(row.kl for row in rows) / n,
        mean_base_rank=sum(row.base_rank for row in rows) / n,
        mean_base_probability=sum(row.base_probability for row in rows) / n,
    )


def to_json(comparison: Comparison, indent: int | None = None) -> str:
    """The record as JSON text; keys as in the design."""
    return json.dumps(comparison.model_dump(by_alias=True), ensure_ascii=False, indent=indent)


def from_json(text: str | bytes, source: str = "the record") -> Comparison:
    """Parse and validate. Raises RecordError that names the first wrong key."""
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise RecordError(f"{source} is nested too deeply; choose a file saved by this program.") from error
    except ValueError as error:
        raise RecordError(f"{source} is not JSON ({error}); choose a file saved by this program.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise RecordError(f'{source}: key "schema" is {found!r}; it must be "{SCHEMA}".')
    try:
        return Comparison.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise RecordError(f'{source}: key "{key}": {first["msg"]}.') from error


def load(path: str | Path) -> Comparison:
    """Read a record from a file. Raises RecordError where it is missing or broken."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a saved comparison.") from error
    return from_json(data, source=str(path))
