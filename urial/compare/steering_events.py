"""What happens while two models write together, in order: SteeringStarted, tokens as they come, the record at last.

`Failed` of `events.py` takes the place of what could not be delivered.
"""

from __future__ import annotations

from dataclasses import dataclass

from urial.compare.events import Failed
from urial.steering_records import DialPosition, DialRecord, NudgeRecord


@dataclass(frozen=True, slots=True)
class SteeringStarted:
    """All prompts are made; `record` is what there is, with no token yet."""

    record: DialRecord | NudgeRecord


@dataclass(frozen=True, slots=True)
class PositionToken:
    """A token of the dial's position number `index`; `text` may be empty while a character is incomplete."""

    index: int
    id: int
    text: str


@dataclass(frozen=True, slots=True)
class PositionDone:
    """One position's answer has ended."""

    index: int
    position: DialPosition


@dataclass(frozen=True, slots=True)
class NudgeToken:
    """A token of the nudged answer, and whether the aligned model gave it."""

    id: int
    text: str
    is_given: bool


@dataclass(frozen=True, slots=True)
class SteeringDone:
    """The whole record."""

    record: DialRecord | NudgeRecord


SteeringEvent = SteeringStarted | PositionToken | PositionDone | NudgeToken | Failed | SteeringDone
