"""The dial and nudging as the page and programs ask for them: checked values, what is offered, records that grow."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from urial.compare.dial import POSITIONS, checked_positions
from urial.compare.events import Failed
from urial.compare.nudge import GREEDY
from urial.compare.nudge_rules import parse_rule
from urial.compare.refusal_phrases import declines
from urial.compare.request import Request
from urial.compare.steering_events import (
    NudgeToken,
    PositionDone,
    PositionToken,
    SteeringDone,
    SteeringEvent,
    SteeringStarted,
)
from urial.compare.writing_together import SERVED
from urial.errors import EngineError, SettingsError
from urial.pairs import Pair
from urial.records import Comparison, ContextName
from urial.steering_records import DialKind, DialPosition, DialRecord, NudgeRecord
from urial.ui import asking
from urial.ui.asking import Ask
from urial.ui.page_steps import Step
from urial.ui.steering_steps import steering_steps
from urial.ui.tasks import DialTask, NudgeTask
from urial.ui.work import Work, opening_of

Earlier = Callable[[], Comparison | None]  # finds the comparison beside; None where it is not kept
EVERY = 0.5  # seconds between two records that grow: each carries all texts


def nothing() -> None:
    """There is no comparison beside."""


def dial_work(values: Mapping[str, Any], at: object, context: object, kind: object, earlier: Earlier = nothing) -> Work:
    """Raises SettingsError or PromptError for what cannot be asked; `earlier` is explained in `request_of`."""
    ask = asking.parse(values)
    places = checked_positions(numbers(POSITIONS if at is None else at))
    chosen = one_of(context, get_args(ContextName), "context"), one_of(kind, get_args(DialKind), "kind")
    request = request_of(ask, earlier)
    return Work(ask, DialTask(request, tuple(places), *chosen), page_steps_of, opening=opening_of(request))


def nudge_work(values: Mapping[str, Any], rule: object, context: object, earlier: Earlier = nothing) -> Work:
    """Raises SettingsError or PromptError for what cannot be asked; `earlier` is explained in `request_of`."""
    ask = asking.parse(values)
    if ask.temperature != 0:
        raise SettingsError(GREEDY)
    if not isinstance(rule, str):
        raise SettingsError("The rule must be a text such as rank>3.")
    chosen = one_of(context, get_args(ContextName), "context")
    request = request_of(ask, earlier)
    return Work(ask, NudgeTask(request, parse_rule(rule), chosen), page_steps_of, opening=opening_of(request))


def request_of(ask: Ask, earlier: Earlier) -> Request:
    """With the rewrite of the comparison beside it, where that asked the same: both ask the aligned model alike."""
    request = asking.to_request(ask)
    if request.aligned_method == "chat" or (beside := earlier()) is None:
        return request
    is_same = (beside.query, tuple(beside.history), beside.pair.name) == (ask.query, ask.history, ask.pair)
    return replace(request, rewrite=beside.rewrite) if is_same else request


def page_work(values: Mapping[str, Any], how: object, earlier: Earlier = nothing) -> Work:
    """What the page asks with one stream: nudging where `how` has a rule, else the dial. Raises as those do."""
    chosen = how if isinstance(how, Mapping) else {}
    if "rule" in chosen:
        return nudge_work(values, chosen["rule"], chosen.get("context"), earlier)
    return dial_work(values, chosen.get("at"), chosen.get("context"), chosen.get("kind"), earlier)


def page_steps_of(events: Iterable[object], note: str) -> list[Step]:
    """The pair's note is beside its comparison."""
    return steering_steps(events)


def offer(pair: Pair) -> dict[str, Any]:
    """What a pair's page offers, before its models are loaded: {"kinds"}, and {"refusal"} where it is nothing."""
    if any(model.server is not None for model in pair.models):
        return {"kinds": [], "refusal": SERVED}
    return {"kinds": list(get_args(DialKind)) if is_adapter_pair(pair) else ["logits"], "refusal": ""}


def is_adapter_pair(pair: Pair) -> bool:
    """Whether the aligned model is the base with an adapter on top."""
    over, bare = pair.aligned.model_copy(update={"adapter": None, "chat_template": None}), pair.base
    return pair.aligned.adapter is not None and over == bare.model_copy(update={"chat_template": None})


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
