"""The sides of a comparison that are being written, and the shift, move on in turn; what is new comes out as events."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from itertools import chain

from urial.compare.events import AlignedToken, BaseToken, Event, Failed, SideDone, Waiting
from urial.compare.live_scoring import ScoredAnswer, log_failure, sentence
from urial.compare.request import Control
from urial.compare.side import SideRun
from urial.engines.base import UNKNOWN_ID
from urial.errors import UrialError
from urial.records import SideName

MOMENT = 0.005  # seconds between two looks at stops and at rows that a server sends


def advance_all(runs: Mapping[SideName, SideRun], scored: ScoredAnswer | None, control: Control) -> Iterator[Event]:
    """All sides step by step in turn, and the rows as soon as a chunk of aligned tokens is there.

    A side that has nothing new is passed over; where none has, something is waited for.
    """
    places: dict[SideName, int] = dict.fromkeys(runs, 0)
    arrived = threading.Event()
    for run in runs.values():
        run.listen(arrived)
    with closing(scored) if scored else nullcontext():
        while any(run.is_running for run in runs.values()) or (scored and scored.is_behind):
            arrived.clear()
            events = [advance_side(name, run, control) for name, run in runs.items()]
            moved = yield from pass_on(chain(*events, scored.catch_up() if scored else ()))
            if not moved:
                yield from moves_in_line(runs, places)
                arrived.wait(MOMENT)


def pass_on(events: Iterable[Event]) -> Generator[Event, None, bool]:
    """All of them; returns whether there was one."""
    moved = False
    for event in events:
        moved = True
        yield event
    return moved


def moves_in_line(runs: Mapping[SideName, SideRun], places: dict[SideName, int]) -> Iterator[Waiting]:
    """Where a side's number in line has changed; `places` holds what was told before."""
    for name, run in runs.items():
        if run.position != places[name]:
            places[name] = run.position
            yield Waiting(name, run.position)


def advance_side(name: SideName, run: SideRun, control: Control) -> Iterator[Event]:
    """One token of one side; its end and its failure are events too."""
    if not run.is_running or not (run.is_ready or control.is_stopped(name)):
        return
    try:
        token = cancel(run) if control.is_stopped(name) else run.step()
    except (UrialError, RuntimeError, MemoryError) as error:
        log_failure(f"the {name} side", error)
        run.end("error")
        yield Failed(name, sentence(error))
        token = None
    if token is not None:
        yield (BaseToken if name == "base" else AlignedToken)(*token)
    if not run.is_running:
        yield SideDone(name, run.side())


def cancel(run: SideRun) -> tuple[int, str] | None:
    """End a side that its user stopped; text that was held back still belongs to its last token."""
    rest = run.end("cancelled")
    return (run.token_ids[-1] if run.token_ids else UNKNOWN_ID, rest) if rest else None
