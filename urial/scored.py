"""The shift beside a running answer: asks for rows when enough tokens are there, hands them on when they have come.

Knows one side's tokens and the scoring; nothing about how tokens are made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from urial.engines.pair import PairEngines
from urial.errors import UrialError
from urial.events import Event, Failed, ShiftRows
from urial.records import ContextName, TokenShift
from urial.request import Prompts
from urial.scoring import Asked, Rows, Scoring, next_chunk
from urial.sides import SideRun

Growing = dict[ContextName, list[TokenShift]]  # the rows so far

log = logging.getLogger(__name__)


class ScoredAnswer:
    """Follows the aligned side and scores what is new: a chunk at a time, and the rest at its end."""

    def __init__(self, engines: PairEngines, prompts: Prompts, run: SideRun, rows: Growing) -> None:
        self._engines = engines
        self._prompts = prompts
        self._run = run
        self._rows = rows
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
            if self._asked is None and self._is_due():
                self._asked = self._ask()
            if self._asked is not None and self._asked.is_ready():
                asked, self._asked = self._asked, None
                yield from emit(self._rows, asked.rows())
        except (UrialError, RuntimeError, ValueError, MemoryError) as error:
            log_failure("the shift", error)
            self._failed = True
            yield Failed(None, sentence(error))

    def _is_due(self) -> bool:
        waiting = len(self._run.token_ids) - self._done
        return waiting >= next_chunk(self._engines, self._done) or (waiting > 0 and not self._run.is_running)

    def _ask(self) -> Asked:
        if self._scoring is None:
            self._scoring = Scoring(self._engines, self._prompts.aligned_ids, self._prompts.context_ids)
        new = slice(self._done, len(self._run.token_ids))
        self._done = len(self._run.token_ids)
        run = self._run
        return self._scoring.ask(run.token_ids[new], run.token_texts[new], run.token_rows[new])


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
