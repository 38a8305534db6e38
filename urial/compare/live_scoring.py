"""The statistics of an answer while it is written: which rows are due, and the `ShiftRows` events that carry them.

`FollowedAnswer`: two models of this process, whose scheduler makes the rows. `AskedAnswer` requests them in chunks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from urial.compare.events import Event, Failed, ShiftRows
from urial.compare.request import Prompts
from urial.compare.scoring import Asked, Columns, Rows, Scoring, make_row
from urial.compare.side import SideRun
from urial.engines.local.bounded_stream import Stream
from urial.engines.pair import PairEngines
from urial.errors import UrialError
from urial.records import ContextName, TokenShift

Growing = dict[ContextName, list[TokenShift]]  # the rows so far

GRACE_SECONDS = 1.0
STOPPED = "It was stopped before the base had read the question, so no shift was measured."

log = logging.getLogger(__name__)


class ScoredAnswer(Protocol):
    """The shift of the aligned side, as far as it has come."""

    @property
    def is_behind(self) -> bool:
        """Whether rows are still to come for tokens that are there."""
        ...

    def catch_up(self) -> Iterator[Event]:
        """ShiftRows for the tokens that are due, if they have come; a failure ends the shift and leaves the answers."""
        ...

    def close(self) -> None:
        """Free what the models hold for the scoring."""
        ...


class FollowedAnswer:
    """Rows that the scheduler makes while the answer is written; none goes out before its token did."""

    def __init__(
        self,
        engines: PairEngines,
        run: SideRun,
        rows: Growing,
        scores: Stream[Columns],
        grace: float = GRACE_SECONDS,
    ) -> None:
        """`grace`: seconds after a stop in which contexts may still be read, so that what is there gets its rows."""
        self._engines = engines
        self._run = run
        self._rows = rows
        self._scores = scores
        self._found: deque[tuple[Columns, int]] = deque()  # statistics, and which of their positions comes next
        self._done = 0
        self._has_ended = False
        self._grace, self._stopped_at = grace, 0.0

    @property
    def is_behind(self) -> bool:
        return not self._has_ended and self._done < len(self._run.token_ids)

    def catch_up(self) -> Iterator[Event]:
        if not self.is_behind:
            return
        try:
            self._fetch()
            if self._is_too_late():
                self._has_ended = True
                yield Failed(None, STOPPED)
            if count := min(len(self._found), len(self._run.token_ids) - self._done):
                yield from emit(self._rows, join([self._row(*self._found.popleft()) for _ in range(count)]))
        except (UrialError, RuntimeError, ValueError, MemoryError) as error:
            log_failure("the shift", error)
            self._has_ended = True
            yield Failed(None, sentence(error))

    def _is_too_late(self) -> bool:
        """Whether the answer was stopped, and the base has not even read its contexts since."""
        if self._run.stop_reason != "cancelled" or self._done or self._found:
            return False
        self._stopped_at = self._stopped_at or time.monotonic()
        return time.monotonic() - self._stopped_at >= self._grace

    def _fetch(self) -> None:
        """As many positions as there are tokens, if they have come."""
        while self._done + len(self._found) < len(self._run.token_ids) and self._scores.is_ready():
            columns = next(self._scores, None)
            if columns is None:
                self._has_ended = not self._found
                return
            self._found.extend((columns, index) for index in range(len(next(iter(columns.values())).kl)))

    def _row(self, columns: Columns, index: int) -> Rows:
        """One position in all contexts."""
        position, self._done = self._done, self._done + 1
        token_id, text = self._run.token_ids[position], self._run.token_texts[position]
        aligned = self._engines.aligned
        return {name: (make_row(aligned, found, index, position, token_id, text),) for name, found in columns.items()}

    def close(self) -> None:
        self._scores.close()


def join(parts: Sequence[Rows]) -> Rows:
    """Rows of consecutive positions as one."""
    return {name: tuple(row for part in parts for row in part[name]) for name in parts[0]}


class AskedAnswer:
    """Scores what the aligned side has new: a chunk at a time, and the rest at its end."""

    def __init__(self, engines: PairEngines, prompts: Prompts, run: SideRun, rows: Growing, room: int) -> None:
        """`rows` grow; `room` is the most tokens that the answer may have."""
        self._engines = engines
        self._prompts = prompts
        self._run = run
        self._rows = rows
        self._room = room
        self._scoring: Scoring | None = None
        self._asked: Asked | None = None
        self._done = 0
        self._failed = False

    @property
    def is_behind(self) -> bool:
        """Whether rows are still to come for tokens that are there."""
        return not self._failed and (self._asked is not None or self._done < len(self._run.token_ids))

    def catch_up(self) -> Iterator[Event]:
        """ShiftRows for the tokens that are due, if they have come; a failure ends the shift and leaves the answers."""
        if self._failed:
            return
        try:
            if self._asked is None and self._done < len(self._run.token_ids):
                self._ask_if_due()
            if self._asked is not None and self._asked.is_ready():
                asked, self._asked = self._asked, None
                yield from emit(self._rows, asked.rows())
        except (UrialError, RuntimeError, ValueError, MemoryError) as error:
            log_failure("the shift", error)
            self._failed = True
            yield Failed(None, sentence(error))

    def close(self) -> None:
        """Free what the models hold for the scoring."""
        if self._scoring is not None:
            self._scoring.close()

    def _ask_if_due(self) -> None:
        if self._scoring is None:
            self._scoring = Scoring(self._engines, self._prompts.aligned_ids, self._prompts.context_ids, self._room)
        run, new = self._run, slice(self._done, len(self._run.token_ids))
        if run.is_running and new.stop - new.start < self._scoring.next_chunk:
            return
        self._done = new.stop
        self._asked = self._scoring.ask(run.token_ids[new], run.token_texts[new], run.told(new.start))


def emit(rows: Growing, new: Rows) -> Iterator[ShiftRows]:
    for name, found in new.items():
        rows[name].extend(found)
        yield ShiftRows(name, found)


def log_failure(what: str, error: BaseException) -> None:
    """With its inside where it was not foreseen; a foreseen failure says all in its sentence."""
    if isinstance(error, UrialError):
        log.info("%s failed: %s", what, error)
    else:
        log.error("%s failed", what, exc_info=error)


def sentence(error: BaseException) -> str:
    """What a user reads of a failure: our own errors as they are, others without their inside."""
    if isinstance(error, UrialError):
        return str(error)
    kind = type(error).__name__
    return f"The model stopped with an error ({kind}); the log has the details. Try again, or a shorter query."
