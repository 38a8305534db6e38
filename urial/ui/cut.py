"""One comparison as one of its visitors sees it: what they have stopped ends for them, whatever goes on for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed, ShiftRows, SideDone, Started
from urial.engines.base import UNKNOWN_ID
from urial.records import Comparison, ContextName, ContextShift, Problem, Side, SideName, TokenShift
from urial.shares import summarize


@dataclass(slots=True)
class Written:
    """What a side has brought so far."""

    ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ended: Side | None = None  # by itself, or here by a cut
    is_cut: bool = False


class Cut:
    """Passes events on until a side is stopped; of that side nothing more comes, and the record holds what had come."""

    def __init__(self) -> None:
        self._empty: Comparison | None = None  # as it began
        self._sides: dict[SideName, Written] = {"base": Written(), "aligned": Written()}
        self._rows: dict[ContextName, list[TokenShift]] = {}
        self._problems: list[Problem] = []
        self.is_done = False

    def events(self, events: Iterable[Event]) -> Iterator[Event]:
        """Those that this visitor sees."""
        for event in events:
            if not self.is_done and (seen := self._seen(event)) is not None:
                yield seen

    def stop(self, side: SideName, seconds: float) -> Iterator[Event]:
        """End a side that still writes, `seconds` after it began; the last side's end is that of the comparison."""
        written = self._sides[side]
        if self._empty is None or written.ended is not None:
            return
        count = len(written.ids)
        written.is_cut = True
        written.ended = self._empty.side(side).model_copy(
            update={
                "text": "".join(written.texts),
                "token_ids": list(written.ids),
                "stop_reason": "cancelled",
                "seconds": seconds,
                "tokens_per_second": count / seconds if count and seconds > 0 else None,
            }
        )
        yield SideDone(side, written.ended)
        if all(each.ended for each in self._sides.values()):
            self.is_done = True
            yield Done(self._record(self._empty))

    def _seen(self, event: Event) -> Event | None:
        match event:
            case Started(record=record):
                self._empty = record
            case BaseToken(token_id, text):
                return event if self._wrote("base", token_id, text) else None
            case AlignedToken(token_id, text):
                return event if self._wrote("aligned", token_id, text) else None
            case ShiftRows(context, rows):
                known = tuple(row for row in rows if self._is_here(row))
                self._rows.setdefault(context, []).extend(known)
                return ShiftRows(context, known) if known else None
            case SideDone(name, side):
                if self._sides[name].is_cut:
                    return None
                self._sides[name].ended = side
            case Failed(name, message):
                if name is not None and self._sides[name].is_cut:
                    return None
                self._problems.append(Problem(name=name, message=message))
            case Done(comparison):
                self.is_done = True
                is_cut = any(each.is_cut for each in self._sides.values())
                return Done(self._record(comparison)) if is_cut else event
        return event

    def _wrote(self, side: SideName, token_id: int, text: str) -> bool:
        written = self._sides[side]
        if written.is_cut:
            return False
        written.texts.append(text)
        if token_id != UNKNOWN_ID:
            written.ids.append(token_id)
        return True

    def _is_here(self, row: TokenShift) -> bool:
        aligned = self._sides["aligned"]
        return not aligned.is_cut or row.position < len(aligned.ids)

    def _record(self, whole: Comparison) -> Comparison:
        """`whole` with the sides as they ended here, and the rows that came."""
        sides: dict[str, Any] = {
            name: written.ended for name, written in self._sides.items() if written.ended is not None
        }
        shift = {name: self._context(found, name) for name, found in whole.shift.items()}
        return whole.model_copy(update={**sides, "shift": shift, "problems": self._problems})

    def _context(self, found: ContextShift, name: ContextName) -> ContextShift:
        rows = self._rows.get(name, [])
        return found.model_copy(update={"tokens": rows, "summary": summarize(rows)})
