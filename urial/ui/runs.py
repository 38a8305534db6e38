"""The comparisons that run or have just run: how to stop them, what they have sent, what came out.

A run is named by its page with an unguessable id, so that a side can be stopped from another event and a batch that
was lost on the way can be fetched again. Bounded, and empty of what has been let go.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from urial.compare.request import Control
from urial.errors import SettingsError
from urial.ui.page_steps import Step, batch

ID = re.compile(r"[0-9A-Za-z_-]{16,64}")


@dataclass(slots=True)
class Run:
    """One stream to one page: `batches[i]` is the i-th thing sent, as JSON text."""

    id: str
    visitor: str
    control: Control
    batches: list[str] = field(default_factory=list)
    is_running: bool = True

    @property
    def is_stopped(self) -> bool:
        """Whether its visitor has stopped all of it."""
        return self.control.is_stopped("base") and self.control.is_stopped("aligned")

    def send(self, steps: list[Step]) -> str:
        """The next batch; it stays with the run, so that the page can fetch it again."""
        text = batch(self.id, len(self.batches), steps)
        self.batches.append(text)
        return text


class Runs:
    """All runs of this process, by id; finished ones are forgotten from the oldest on."""

    def __init__(self, new_control: Callable[[], Control] = Control, kept: int = 64, early_stops: int = 256) -> None:
        self._new_control = new_control
        self._kept = kept
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._early: OrderedDict[str, None] = OrderedDict()  # stopped while still waiting in the queue
        self._early_limit = early_stops

    def __len__(self) -> int:
        return len(self._runs)

    def running(self) -> int:
        with self._lock:
            return sum(run.is_running for run in self._runs.values())

    def open(self, run_id: str, visitor: str) -> Run:
        """A new run; it is stopped already where its visitor stopped it while it was waiting."""
        check_id(run_id)
        with self._lock:
            if run_id in self._runs:
                raise SettingsError("This comparison has already been started; ask again.")
            run = self._runs[run_id] = Run(run_id, visitor, self._new_control())
            if run_id in self._early:
                del self._early[run_id]
                run.control.stop_all()
            self._drop_old()
        return run

    def close(self, run: Run) -> None:
        """The run sends nothing more; what it sent stays for a while."""
        run.is_running = False
        run.control.stop_all()
        with self._lock:
            self._drop_old()

    def stop(self, run_id: str, how: Callable[[Control], None]) -> None:
        """Stop a side or all of a run, also one that has not begun."""
        check_id(run_id)
        with self._lock:
            run = self._runs.get(run_id)
            if run is None:
                self._early[run_id] = None
                while len(self._early) > self._early_limit:
                    self._early.popitem(last=False)
        if run is not None:
            how(run.control)

    def leave(self, visitor: str) -> None:
        """A visitor is gone: stop all that still runs for them."""
        with self._lock:
            left = [run for run in self._runs.values() if run.visitor == visitor and run.is_running]
        for run in left:
            run.control.stop_all()

    def since(self, run_id: str, seq: int) -> list[str]:
        """What was sent from number `seq` on; empty for a run that is not known any more."""
        with self._lock:
            run = self._runs.get(run_id)
        return run.batches[max(seq, 0) :] if run else []

    def state(self, run_id: str) -> dict[str, bool]:
        """Whether a run is known, and whether it still sends."""
        with self._lock:
            run = self._runs.get(run_id)
        return {"known": run is not None, "running": run is not None and run.is_running}

    def _drop_old(self) -> None:
        finished = [run_id for run_id, run in self._runs.items() if not run.is_running]
        for run_id in finished[: max(0, len(finished) - self._kept)]:
            del self._runs[run_id]


def check_id(run_id: object) -> None:
    """Raise SettingsError for a name that no page of ours would give."""
    if not isinstance(run_id, str) or not ID.fullmatch(run_id):
        raise SettingsError("The page sent a broken name for its comparison; load the page again.")
