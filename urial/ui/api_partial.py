"""A comparison that is still being written, as a record: what a stop at this moment would leave.

Texts and token ids grow, and each context's summary counts the rows so far; the rows themselves, prompts' ids and times
come with the last record.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator

from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.compare.request import Request
from urial.errors import EngineError
from urial.records import Comparison, ContextName, ContextShift, Message, Side, SideName, TokenShift
from urial.shares import summarize

EVERY = 0.5  # seconds between two partial records: each carries both texts


class PartialRecord:
    """Takes events in their order and tells what is there."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._started: Started | None = None
        self._began = time.monotonic()
        self._texts: dict[SideName, list[str]] = {"base": [], "aligned": []}
        self._ids: dict[SideName, list[int]] = {"base": [], "aligned": []}
        self._done: dict[SideName, Side] = {}
        self._rows: dict[ContextName, list[TokenShift]] = defaultdict(list)
        self.failure = ""

    def add(self, event: Event) -> None:
        """One more; tokens, rows, ends and failures are kept, other events say nothing here."""
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, BaseToken | AlignedToken):
            side: SideName = "base" if isinstance(event, BaseToken) else "aligned"
            self._texts[side].append(event.text)
            self._ids[side].append(event.id)
        elif isinstance(event, ShiftRows):
            self._rows[event.context] += event.rows
        elif isinstance(event, SideDone):
            self._done[event.name] = event.side
        elif isinstance(event, Failed):
            self.failure = self.failure or event.message

    def record(self) -> Comparison | None:
        """None until the prompts are made."""
        if self._started is None:
            return None
        return Comparison(
            query=self._request.query,
            history=[Message(role=each.role, content=each.content) for each in self._request.history],
            pair=self._started.pair,
            settings=self._started.settings,
            base=self._side("base", self._started),
            aligned=self._side("aligned", self._started),
            shift={name: _so_far(rows) for name, rows in self._rows.items()},
        )

    def _side(self, name: SideName, started: Started) -> Side:
        return self._done.get(name) or Side(
            prompt=started.prompts[name],
            prompt_ids=[],
            text="".join(self._texts[name]),
            token_ids=list(self._ids[name]),
            stop_reason="cancelled",
            seconds=time.monotonic() - self._began,
            first_token_seconds=None,
            tokens_per_second=None,
        )


def _so_far(rows: list[TokenShift]) -> ContextShift:
    is_exact = all(row.uncovered is None for row in rows)
    return ContextShift(context="", context_ids=[], exact=is_exact, summary=summarize(rows), tokens=[])


def growing(events: Iterable[list[Event]], request: Request, every: float = EVERY) -> Iterator[Comparison]:
    """Partial records, at most one in `every` seconds, and at last the whole one. Raises EngineError without one."""
    partial, due = PartialRecord(request), 0.0
    for some in events:
        for event in some:
            if isinstance(event, Done):
                yield event.comparison
                return
            partial.add(event)
        if time.monotonic() >= due and (record := partial.record()) is not None:
            yield record
            due = time.monotonic() + every
    raise EngineError(partial.failure or "The comparison ended without a result; run it again.")
