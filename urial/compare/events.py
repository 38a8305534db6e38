"""What happens in one comparison, in order: the stream that command line, page, corpus and API all read.

Order: Started, then Waiting / BaseToken / AlignedToken / ShiftRows mixed as they come, one SideDone for each side, at
last Done. Failed takes the place of what it could not deliver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from urial.records import Comparison, ContextName, PairInfo, Settings, Side, SideName, SideSettings, TokenShift


@dataclass(frozen=True, slots=True)
class Started:
    """Both prompts are made; nothing has been generated yet.

    `own`: of sides that are not decoded as `settings` say. `record`: the record as it stands, nothing in it yet.
    """

    pair: PairInfo
    settings: Settings
    prompts: dict[SideName, str]
    prompt_tokens: dict[SideName, int]
    own: Mapping[SideName, SideSettings] = field(default_factory=dict)
    record: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A side is in line before a busy server: its number changed to `position`; 0 means that its turn has come."""

    name: SideName
    position: int


@dataclass(frozen=True, slots=True)
class BaseToken:
    """A token of the base's answer; `text` may be empty while a character or a stop marker is incomplete."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class AlignedToken:
    """A token of the aligned answer; `text` is empty while a character is incomplete and for an end token."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class ShiftRows:
    """The next rows of one context, in order of position."""

    context: ContextName
    rows: tuple[TokenShift, ...]


@dataclass(frozen=True, slots=True)
class SideDone:
    """One side has ended; `side.text` is its whole answer."""

    name: SideName
    side: Side


@dataclass(frozen=True, slots=True)
class Failed:
    """A side, or the shift (`name` is None), could not go on; `message` is one sentence for the user."""

    name: SideName | None
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    comparison: Comparison


Event = Started | Waiting | BaseToken | AlignedToken | ShiftRows | SideDone | Failed | Done
