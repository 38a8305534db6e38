"""The dial and nudging as the page and programs ask for them: checked values, and records that grow."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from urial.compare.dial import POSITIONS, checked_positions
from urial.compare.events import Failed
from urial.compare.nudge import GREEDY
from urial.compare.nudge_rules import parse_rule
from urial.compare.refusal_phrases import declines
from urial.compare.steering_events import (
    NudgeToken,
    PositionDone,
    PositionToken,
    SteeringDone,
    SteeringEvent,
    SteeringStarted,
)
from urial.errors import EngineError, SettingsError
from urial.records import ContextName
from urial.steering_records import DialKind, DialPosition, DialRecord, NudgeRecord
from urial.ui import asking
from urial.ui.service import Work
from urial.ui.tasks import DialTask, NudgeTask

EVERY = 0.5  # seconds between two records that grow: each carries all texts


def dial_work(values: Mapping[str, Any], at: object, context: object, kind: object) -> Work:
    """Raises SettingsError or PromptError for what cannot be asked."""
    ask = asking.parse(values)
    places = checked_positions(numbers(POSITIONS if at is None else at))
    chosen = one_of(context, get_args(ContextName), "context"), one_of(kind, get_args(DialKind), "kind")
    return Work(ask, DialTask(asking.to_request(ask), tuple(places), *chosen))


def nudge_work(values: Mapping[str, Any], rule: object, context: object) -> Work:
    """Raises SettingsError or PromptError for what cannot be asked."""
    ask = asking.parse(values)
    if ask.temperature != 0:
        raise SettingsError(GREEDY)
    if not isinstance(rule, str):
        raise SettingsError("The rule must be a text such as rank>3.")
    chosen = one_of(context, get_args(ContextName), "context")
    return Work(ask, NudgeTask(asking.to_request(ask), parse_rule(rule), chosen))


def numbers(values: object) -> list[float]:
    """Raises SettingsError for anything but a list of numbers."""
    if not isinstance(values, list | tuple) or not all(type(value) in (int, float) for value in values):
        raise SettingsError("The positions of the dial must be a list of numbers, such as [0, 0.5, 1].")
    return [float(value) for value in values]


def one_of(value: object, known: tuple[str, ...], name: str) -> Any:
    if value not in known:
        raise SettingsError(f"The {name} {str(value)[:40]!r} is not known; choose {' or '.join(known)}.")
    return value


class PartialRecord:
    """Takes events in their order and tells what a stop at this moment would leave."""

    def __init__(self) -> None:
        self._record: DialRecord | NudgeRecord | None = None
        self._at: dict[int, list[PositionToken]] = defaultdict(list)
        self._done: dict[int, DialPosition] = {}
        self._nudged: list[NudgeToken] = []
        self.failure = ""
        self.is_whole = False

    def add(self, event: object) -> None:
        match event:
            case SteeringStarted(record):
                self._record = record
            case PositionToken(index):
                self._at[index].append(event)
            case PositionDone(index, position):
                self._done[index] = position
            case NudgeToken():
                self._nudged.append(event)
            case Failed(_, message):
                self.failure = self.failure or message
            case SteeringDone(record):
                self._record, self.is_whole = record, True

    def record(self) -> DialRecord | NudgeRecord | None:
        """None until the prompts are made."""
        if self.is_whole or self._record is None:
            return self._record
        if isinstance(self._record, DialRecord):
            positions = [self._position(index, each) for index, each in enumerate(self._record.positions)]
            return self._record.model_copy(update={"positions": positions})
        text = "".join(event.text for event in self._nudged)
        grown = {
            "text": text,
            "token_ids": [event.id for event in self._nudged],
            "token_texts": [event.text for event in self._nudged],
            "given": [i for i, event in enumerate(self._nudged) if event.is_given],
            "declines": declines(text),
        }
        return self._record.model_copy(update=grown)

    def _position(self, index: int, empty: DialPosition) -> DialPosition:
        tokens = self._at[index]
        text = "".join(token.text for token in tokens)
        grown = {"text": text, "token_ids": [token.id for token in tokens], "declines": declines(text)}
        return self._done.get(index) or empty.model_copy(update=grown)


def growing(events: Iterable[list[SteeringEvent]], every: float = EVERY) -> Iterator[DialRecord | NudgeRecord]:
    """Partial records, at most one in `every` seconds, and at last the whole one. Raises EngineError without one."""
    partial, due = PartialRecord(), 0.0
    for some in events:
        for event in some:
            partial.add(event)
        if partial.is_whole or time.monotonic() >= due:
            if (record := partial.record()) is not None:
                yield record
            due = time.monotonic() + every
    if not partial.is_whole:
        raise EngineError(partial.failure or "The answers ended without a result; run it again.")
