"""Makes recordings: runs what the list asks for and leaves what is recorded already.

A recording counts as made when a run would give the same models the very same texts with the same settings; then only
its words (title, topic, what to look at) follow the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Literal

from urial.compare import run as core
from urial.compare.events import Done, Event, Failed
from urial.compare.request import Request, make_prompts
from urial.engines.pair import PairEngines
from urial.errors import EngineError
from urial.gallery.entries import Entry
from urial.gallery.files import Place, recorded, write
from urial.gallery.listing import Item
from urial.prompts import method
from urial.records import Comparison, Message

Outcome = Literal["recorded", "words changed", "unchanged"]
Listen = Callable[[Event], None]


def make(place: Place, engines: PairEngines, listen: Listen) -> Outcome:
    """Record unless it is recorded already. Raises what a comparison raises, and Failure where nothing can be
    written."""
    earlier = recorded(place)
    if earlier is not None and is_current(earlier, place.item, engines):
        return refresh(place, earlier)
    return make_anew(place, engines, listen)


def make_anew(place: Place, engines: PairEngines, listen: Listen) -> Outcome:
    """Record, whatever lies there. Raises as `make`."""
    turns = list(run_turns(place.item, engines, listen))
    write(place, entry_of(place.item, turns, datetime.now(UTC).isoformat(timespec="seconds")))
    return "recorded"


def refresh(place: Place, earlier: Entry) -> Outcome:
    """The list's words and number for what is recorded already."""
    entry = entry_of(place.item, earlier.turns, earlier.recorded_at)
    if entry == earlier and place.found() == [place.path]:
        return "unchanged"
    write(place, entry)
    return "words changed"


def entry_of(item: Item, turns: list[Comparison], recorded_at: str) -> Entry:
    return Entry(title=item.title, topic=item.topic, look_at=item.look_at, recorded_at=recorded_at, turns=turns)


def is_current(entry: Entry, item: Item, engines: PairEngines) -> bool:
    """Whether a run now would be given the same texts, by the same models, with the same settings."""
    if [turn.query for turn in entry.turns] != item.turns:
        return False
    history: list[Message] = []
    for turn in entry.turns:
        request = make_request(item, turn.query, history)
        prompts = make_prompts(engines, request)
        contexts = {name: shift.context for name, shift in turn.shift.items()}
        now = (engines.info, request.settings(), prompts.base, prompts.aligned, prompts.contexts)
        if now != (turn.pair, turn.settings, turn.base.prompt, turn.aligned.prompt, contexts):
            return False
        history += said(turn)
    return True


def run_turns(item: Item, engines: PairEngines, listen: Listen) -> Iterator[Comparison]:
    """The conversation, turn after turn: what the sibling answered is what both are shown as said."""
    history: list[Message] = []
    for query in item.turns:
        comparison = finished(core.compare(engines, make_request(item, query, history)), item, listen)
        yield comparison
        history += said(comparison)


def make_request(item: Item, query: str, history: list[Message]) -> Request:
    """Greedy, both contexts, the paper's penalties."""
    chosen = method(item.method, item.examples)
    return Request(query=query, method=chosen, history=tuple(history), max_new_tokens=item.max_new_tokens)


def said(turn: Comparison) -> list[Message]:
    """A turn as the next one's history shows it."""
    return [Message(role="user", content=turn.query), Message(role="assistant", content=turn.aligned.text)]


def finished(events: Iterator[Event], item: Item, listen: Listen) -> Comparison:
    """The record of a comparison in which nothing failed: half a comparison is no recording. Raises EngineError."""
    for event in events:
        listen(event)
        if isinstance(event, Failed):
            raise EngineError(f"{item.id} was not recorded: {event.message}")
        if isinstance(event, Done):
            return event.comparison
    raise EngineError(f"{item.id} ended without a result; run the command again.")
