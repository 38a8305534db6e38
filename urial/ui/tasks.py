"""What a run can do once models are there, as values that can travel to another process.

Each task turns engines and a control into the core's events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from urial.compare import dial, nudge
from urial.compare import run as core
from urial.compare.events import Event
from urial.compare.nudge_rules import Rule
from urial.compare.request import Control, Request
from urial.compare.steering_events import SteeringEvent
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.records import Comparison, ContextName, SideName
from urial.steering_records import DialKind


class Task(Protocol):
    """A piece of model work."""

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event | SteeringEvent]: ...


@dataclass(frozen=True, slots=True)
class CompareTask:
    """Both answers and the shift."""

    request: Request

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event]:
        return core.compare(engines, self.request, control)


@dataclass(frozen=True, slots=True)
class AgainTask:
    """One side of an earlier comparison once more."""

    request: Request
    side: SideName
    earlier: Comparison

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event]:
        return core.again(engines, self.request, self.side, self.earlier, control)


@dataclass(frozen=True, slots=True)
class GoOnTask:
    """The base after the given beginning of an answer."""

    request: Request
    answer_ids: tuple[int, ...]

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event]:
        for each in self.answer_ids:
            if each >= engines.base.vocabulary_size:
                raise SettingsError(f"The base does not know token {each}, so it cannot go on from there.")
        return core.continue_base(engines, self.request, self.answer_ids, control)


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """The shift of a given answer; it cannot be stopped half way, and takes no longer than reading."""

    request: Request
    answer: str

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event]:
        return core.score(engines, self.request, self.answer)


@dataclass(frozen=True, slots=True)
class DialTask:
    """The answer at several amounts of alignment."""

    request: Request
    at: tuple[float, ...]
    context: ContextName
    kind: DialKind

    def events(self, engines: PairEngines, control: Control) -> Iterator[SteeringEvent]:
        return dial.dial(engines, self.request, self.at, self.context, self.kind, control)


@dataclass(frozen=True, slots=True)
class NudgeTask:
    """The base writes, and the aligned model gives tokens by a rule."""

    request: Request
    rule: Rule
    context: ContextName

    def events(self, engines: PairEngines, control: Control) -> Iterator[SteeringEvent]:
        return nudge.nudge(engines, self.request, self.rule, self.context, control)
