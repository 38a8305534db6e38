"""Events of a comparison as batches for the page: only what is new, numbered, at most about fifteen a second.

A batch is one JSON text: {"run", "seq", "do": [[name, argument], ...]} where every `do` names a step of the token view
(`reset`, `append`, `sideDone`, `fail`, `done`) or of the page (`say`, `kept`). Model text travels in it as JSON strings
and nowhere else; `<` is escaped, so that no part of it looks like markup to anyone on the way.
Knows events and the view's data; nothing about Gradio.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from urial.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.records import Comparison, ContextName, Message
from urial.render import embed_json, payload, rows_payload, side_payload

SECONDS_BETWEEN = 0.07

Step = list[Any]  # [name, argument]


def batch(run: str, seq: int, steps: Iterable[Step]) -> str:
    """One numbered batch as JSON text without `<`, `>` or `&`."""
    return embed_json({"run": run, "seq": seq, "do": list(steps)})


def gather(events: Iterable[Event], *, now: Iterator[float] | None = None) -> Iterator[list[Event]]:
    """Lists of events: the first at once, then whatever came within SECONDS_BETWEEN; ends are not held back.

    `now` gives the time of each event, for tests; the process's clock otherwise.
    """
    clock = now or iter(time.monotonic, None)
    waiting: list[Event] = []
    due = 0.0
    for event in events:
        waiting.append(event)
        at = next(clock)
        if at >= due or isinstance(event, Started | Done | Failed):
            yield waiting
            waiting, due = [], at + SECONDS_BETWEEN
    if waiting:
        yield waiting


def steps_of(events: list[Event], query: str, history: tuple[Message, ...], note: str) -> list[Step]:
    """The view's steps for some events, with consecutive tokens and rows joined."""
    steps: list[Step] = []
    for event in events:
        match event:
            case Started():
                steps.append(["reset", _started(event, query, history, note)])
            case BaseToken(_, text):
                _add_base(_delta(steps), text)
            case AlignedToken(token_id, text):
                _delta(steps).setdefault("aligned", []).append([token_id, text])
            case ShiftRows(context, rows):
                steps.append(["append", {"shift": {context: rows_payload(rows)}}])
            case SideDone(name, side):
                steps.append(["sideDone", {"name": name, "side": side_payload(side)}])
            case Failed(name, message):
                steps.append(["fail", {"name": name, "message": message}])
            case Done(comparison):
                steps.append(["done", closing(comparison, note)])
    return steps


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


def _started(event: Started, query: str, history: tuple[Message, ...], note: str) -> dict[str, Any]:
    return {
        "query": query,
        "history": [message.model_dump() for message in history],
        "pair": event.pair.model_dump(),
        "settings": event.settings.model_dump(),
        "note": note,
        "prompts": event.prompts,
        "prompt_tokens": event.prompt_tokens,
    }


def _delta(steps: list[Step]) -> dict[str, Any]:
    """The open `append` step for tokens; a step of another kind closes it."""
    if not steps or steps[-1][0] != "append" or "shift" in steps[-1][1]:
        steps.append(["append", {}])
    return steps[-1][1]


def _add_base(delta: dict[str, Any], text: str) -> None:
    base = delta.setdefault("base", {"text": "", "tokens": 0})
    base["text"] += text
    base["tokens"] += 1
