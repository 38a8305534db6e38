"""The shift beside a running answer: asks for rows when enough tokens are there, hands them on when they have come.

Knows one side's tokens and the scoring; nothing about how tokens are made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from urial.engines.pair import PairEngines
from urial.engines.stopping import Stopped, after, stops_when
from urial.errors import UrialError
from urial.events import Event, Failed, ShiftRows
from urial.records import ContextName, TokenShift
from urial.request import Prompts
from urial.scoring import Asked, Rows, Scoring
from urial.sides import SideRun

Growing = dict[ContextName, list[TokenShift]]  # the rows so far

GRACE_SECONDS = 1.0  # after a stop, for contexts still to be read: short ones still give what is there its rows
STOPPED = "It was stopped before the base had read the question, so no shift was measured."

log = logging.getLogger(__name__)


class ScoredAnswer:
    """Follows the aligned side and scores what is new: a chunk at a time, and the rest at its end."""

    def __init__(
        self,
        engines: PairEngines,
        prompts: Prompts,
        run: SideRun,
        rows: Growing,
        room: int,
        is_stopped: Callable[[], bool],
    ) -> None:
        """`rows` grow; `room` is the most tokens that the answer may have."""
        self._engines = engines
        self._prompts = prompts
        self._run = run
        self._rows = rows
        self._room = room
        self._is_stopped = is_stopped
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
        except Stopped:
            self._failed = True
            yield Failed(None, STOPPED)
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
            with stops_when(after(self._is_stopped, GRACE_SECONDS)):
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
