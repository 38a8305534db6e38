"""Events of a comparison as batches for the page: only what is new, numbered, at most about fifteen a second.

A batch is one JSON text: {"run", "seq", "do": [[name, argument], ...]} where every `do` names a step of the token view
(`reset`, `append`, `sideDone`, `fail`, `done`, ...) or of the page (`say`, `line`, `refuse`). Model text travels in it
as JSON strings and nowhere else; `<` is escaped, so that no part of it looks like markup to anyone on the way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started, Waiting
from urial.records import Comparison, ContextName, Message, SideName
from urial.render.report import embed_json
from urial.render.view import payload, rows_payload, side_payload, started_payload
from urial.ui.admission import Position

SECONDS_BETWEEN = 0.07

Step = list[Any]  # [name, argument]


def batch(run: str, seq: int, steps: Iterable[Step]) -> str:
    """One numbered batch as JSON text without `<`, `>` or `&`."""
    return embed_json({"run": run, "seq": seq, "do": list(steps)})


def gather(events: Iterable[Event], now: Callable[[], float] = time.monotonic) -> Iterator[list[Event]]:
    """Lists of events: whatever came within SECONDS_BETWEEN; beginnings, ends and places in line are not held back."""
    waiting: list[Event] = []
    due = 0.0
    for event in events:
        waiting.append(event)
        if now() >= due or isinstance(event, Started | Waiting | Done | Failed):
            yield waiting
            waiting, due = [], now() + SECONDS_BETWEEN
    if waiting:
        yield waiting


def steps_of(events: Iterable[Event], opening: Callable[[Started], Step], note: str) -> list[Step]:
    """The view's steps for some events of a comparison, with consecutive tokens and their rows joined."""
    steps: list[Step] = []
    for event in events:
        match event:
            case Started():
                steps.append(opening(event))
            case BaseToken(_, text):
                _add_base(_delta(steps), text)
            case AlignedToken(token_id, text):
                _delta(steps).setdefault("aligned", []).append([token_id, text])
            case ShiftRows(context, rows):
                _delta(steps).setdefault("shift", {}).setdefault(context, []).extend(rows)
            case SideDone(name, side):
                steps.append(["sideDone", {"name": name, "side": side_payload(side)}])
            case Waiting(name, position):
                steps.append(["line", {"name": name, "position": position}])
            case Failed(name, message):
                steps.append(["fail", {"name": name, "message": message}])
            case Done(comparison):
                steps.append(["done", closing(comparison, note)])
    return [[name, _told(argument)] if name == "append" else [name, argument] for name, argument in steps]


def branch_steps(events: Iterable[Event]) -> list[Step]:
    """The steps of a continuation, which has only the base's tokens and its end."""
    text = "".join(event.text for event in events if isinstance(event, BaseToken))
    steps: list[Step] = [["branchAppend", {"text": text}]] if text else []
    for event in events:
        if isinstance(event, SideDone):
            ended = {"stop_reason": event.side.stop_reason, "tokens": len(event.side.token_ids)}
            steps.append(["branchDone", ended])
        elif isinstance(event, Failed):
            steps.append(["branchDone", {"message": event.message}])
    return steps


def reset(event: Started, query: str, history: tuple[Message, ...], note: str) -> Step:
    """The view starts a new comparison."""
    facts = (event.pair, event.settings, event.prompts, event.prompt_tokens)
    return ["reset", started_payload(query, history, *facts, note)]


def restart(event: Started, name: SideName) -> Step:
    """One side of the view starts once more; `settings` where it is decoded otherwise than the other."""
    own = event.own.get(name)
    return ["restart", {"name": name, "settings": own and own.model_dump()}]


def kept_steps(comparison: Comparison, note: str) -> list[Step]:
    """All of a comparison that needs no running."""
    return [["load", payload(comparison, note)], ["done", closing(comparison, note)]]


def queue_step(position: Position) -> Step:
    """Where one stands in the line; seconds in steps that a reader can follow."""
    seconds = position.seconds
    if seconds is not None:
        grain = 1 if seconds < 10 else 5 if seconds < 60 else 30
        seconds = max(1, grain * math.ceil(seconds / grain))
    return ["queue", {"before": position.before, "seconds": seconds}]


def closing(comparison: Comparison, note: str) -> dict[str, Any]:
    """The view's data without the rows, which have been sent; each context says how many there were."""
    data = payload(comparison.model_copy(update={"shift": {}}), note)
    data["shift"] = {name: _context(comparison, name) for name in comparison.shift}
    return data


def _context(comparison: Comparison, name: ContextName) -> dict[str, Any]:
    found = comparison.shift[name]
    return {
        "context": found.context,
        "context_tokens": len(found.context_ids),
        "exact": found.exact,
        "rows": len(found.tokens),
    }


def _delta(steps: list[Step]) -> dict[str, Any]:
    """The open `append` step for tokens; a step of another kind closes it."""
    if not steps or steps[-1][0] != "append":
        steps.append(["append", {}])
    return steps[-1][1]


def _told(delta: dict[str, Any]) -> dict[str, Any]:
    """With the rows of each context as columns; the view takes them after the tokens."""
    if "shift" not in delta:
        return delta
    return {**delta, "shift": {context: rows_payload(rows) for context, rows in delta["shift"].items()}}


def _add_base(delta: dict[str, Any], text: str) -> None:
    base = delta.setdefault("base", {"text": "", "tokens": 0})
    base["text"] += text
    base["tokens"] += 1
