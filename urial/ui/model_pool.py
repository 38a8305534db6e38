"""The models of this process: loaded in the background, lent to one comparison after another, exchanged when another
pair is asked for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from urial.engines.pair import PairEngines
from urial.errors import PairsError, UrialError
from urial.pairs import Pair
from urial.progress import Progress

log = logging.getLogger(__name__)

Opener = Callable[[Pair, Progress], PairEngines]
State = Literal["absent", "loading", "ready", "failed"]
READY, NOT_HERE = "ready now", "not on this computer"
LOADING = "Loading the models"
RETRY_SECONDS = 30.0  # a pair that failed is tried again by the first question after this time


@dataclass(frozen=True, slots=True)
class Status:
    """Where a pair stands: `message` is for people, `fraction` (0 to 1) where it is known."""

    state: State
    message: str = ""
    fraction: float | None = None


class PooledPair:
    """One pair, loaded or not."""

    def __init__(self) -> None:
        self.status = Status("absent")
        self.engines: PairEngines | None = None
        self.error: UrialError | None = None  # what kept it from being loaded, in words for who runs this machine
        self.failed_at = 0.0
        self.lent = 0


class ModelPool:
    """At most `capacity` pairs in memory; the one not used for longest goes when another one needs its place."""

    def __init__(
        self,
        pairs: Mapping[str, Pair],
        open_pair: Opener,
        absent: Mapping[str, str] | None = None,
        downloads: Collection[str] = (),
        capacity: int = 1,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """`absent` names pairs that cannot run on this machine, each with a sentence why, for who runs this machine.

        `downloads` names those whose weights are still to be fetched. Visitors are told neither more than that: what
        a pair would need is for the command line and the log.
        """
        self.pairs = dict(pairs)
        self.absent = dict(absent or {})
        self._downloads = set(downloads)
        self._open_pair = open_pair
        self._capacity = capacity
        self.retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._places = {name: PooledPair() for name in self.pairs}
        self._order: list[str] = []  # in memory or on the way, least recently asked for first

    def pair(self, name: str) -> Pair:
        if name not in self.pairs:
            raise PairsError(f"There is no pair {name!r}; choose one of {', '.join(self.pairs)}.")
        return self.pairs[name]

    def group(self, name: str) -> str:
        """What a visitor may expect of a pair, in a few words."""
        if name in self.absent:
            return NOT_HERE
        if name not in self._downloads:
            return READY
        size = self.pair(name).download_gb
        return "needs a download" if size is None else f"needs a download of {size:g} GB"

    def status(self, name: str) -> Status:
        self.pair(name)
        if name in self.absent:
            return Status("failed", self._refusal(name))
        status = self._places[name].status
        if status.state == "absent" and name in self._downloads:
            return Status("absent", "downloaded with the first question")
        return status

    def _refusal(self, name: str) -> str:
        """For visitors: one that cannot run here at all, or could not be loaded just now."""
        title = self.pairs[name].title
        if name in self.absent:
            return f"“{title}” is {NOT_HERE}; choose another pair."
        if name in self._downloads:
            return f"“{title}” {self.group(name)}, which did not succeed; choose another pair."
        return f"“{title}” could not be loaded just now; choose another pair."

    def start(self, name: str) -> None:
        """Begin loading a pair unless it is there, on its way, or has just failed.

        Raises PairsError for a pair that is unknown or cannot run here.
        """
        if self._begins(name):
            threading.Thread(target=self._load, args=(name,), name=f"load-{name}", daemon=True).start()

    def load(self, name: str) -> PairEngines:
        """Load a pair in the calling thread, as ZeroGPU wants. Raises, for the host, what kept it from being loaded."""
        if self._begins(name):
            self._load(name)
        if (error := self._places[name].error) is not None:
            raise error
        self.wait(name, threading.TIMEOUT_MAX)
        engines = self._places[name].engines
        assert engines is not None  # ready, and nothing has been asked for that could take its place
        return engines

    def _begins(self, name: str) -> bool:
        """Whether the caller is the one who loads; raises PairsError as `start` does."""
        self.pair(name)
        if name in self.absent:
            raise PairsError(self._refusal(name))
        with self._changed:
            place = self._places[name]
            if place.status.state in ("loading", "ready"):
                return False
            if place.status.state == "failed" and time.monotonic() - place.failed_at < self.retry_seconds:
                return False
            place.status, place.error = Status("loading", LOADING), None
            return True

    def wait(self, name: str, seconds: float) -> bool:
        """Whether the pair is ready within that time. Raises PairsError, for visitors, where it could not be loaded."""
        self.start(name)
        place = self._places[name]
        with self._changed:
            self._changed.wait_for(lambda: place.status.state in ("ready", "failed"), timeout=seconds)
            if place.status.state == "failed":
                raise PairsError(place.status.message)
            return place.status.state == "ready"

    @contextmanager
    def lend(self, name: str) -> Iterator[PairEngines | None]:
        """The engines of a pair that is ready; they stay in memory until given back. None where it is not ready."""
        place = self._places[name]
        with self._changed:
            engines = place.engines if place.status.state == "ready" else None
            if engines is not None:
                place.lent += 1
                self._order.remove(name)
                self._order.append(name)
        try:
            yield engines
        finally:
            if engines is not None:
                with self._changed:
                    place.lent -= 1
                    self._changed.notify_all()

    def _load(self, name: str) -> None:
        place = self._places[name]
        self._make_place(name)
        try:
            engines = self._open_pair(self.pairs[name], lambda *said: self._say(name, *said))
        except Exception as error:  # nobody else sees what this thread meets: it is logged, and told to who waits
            self._fail(name, error)
            return
        with self._changed:
            place.engines, place.status = engines, Status("ready")
            self._downloads.discard(name)
            self._changed.notify_all()

    def _make_place(self, name: str) -> None:
        """Wait until a place is free, letting go of pairs that nobody uses."""
        with self._changed:
            while len(self._order) >= self._capacity:
                idle = [each for each in self._order if self._is_idle(each)]
                if not idle:
                    self._say(name, "Waiting until the pair in use is free")
                    self._changed.wait()
                    continue
                self._order.remove(idle[0])
                left = self._places[idle[0]]
                left.engines, left.status = None, Status("absent")
            self._order.append(name)
            self._say(name, LOADING)

    def _is_idle(self, name: str) -> bool:
        place = self._places[name]
        return place.status.state == "ready" and place.lent == 0

    def _say(self, name: str, message: str, fraction: float | None = None) -> None:
        self._places[name].status = Status("loading", message, fraction)

    def _fail(self, name: str, error: Exception) -> None:
        if isinstance(error, UrialError):  # its sentence says all
            log.error("the pair %s could not be loaded: %s", name, error)
        else:
            log.error("the pair %s could not be loaded", name, exc_info=error)
        place = self._places[name]
        with self._changed:
            self._order.remove(name)
            place.error = error if isinstance(error, UrialError) else _unexpected(name, error)
            place.status = Status("failed", self._refusal(name))
            place.failed_at = time.monotonic()
            self._changed.notify_all()


def _unexpected(name: str, error: Exception) -> UrialError:
    return UrialError(
        f"The pair {name} could not be loaded ({type(error).__name__}); the server's log has the details."
    )
