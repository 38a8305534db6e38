"""What a run can do once models are there, as values that can travel to another process.

Each task turns engines and a control into the core's events. Knows the core; nothing about pages or streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from urial.compare import run as core
from urial.compare.events import Event
from urial.compare.request import Control, Request
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.records import Comparison, SideName


class Task(Protocol):
    """A piece of model work."""

    def events(self, engines: PairEngines, control: Control) -> Iterator[Event]: ...


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
