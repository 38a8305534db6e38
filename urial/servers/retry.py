"""How long to wait for a server, and when to send a request once more."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace

from urial.servers.failures import TransientError

TRIES = 6  # of a server that answers, but with a failure: one that dies does so for some seconds


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, to the first token, between two tokens, for a whole answer, and for a server that is down.

    A server under a class's load needs time to its first token; one that restarts needs a minute or two (`away`).
    Pauses between tries double from `first_pause` to `longest_pause`.
    """

    connect: float = 5.0
    first: float = 120.0
    stall: float = 30.0
    whole: float = 180.0
    away: float = 180.0
    first_pause: float = 0.3
    longest_pause: float = 5.0

    def times(self, factor: float) -> Timeouts:
        """For a slower server: all waits longer, except those that tell whether one is there at all."""
        waits = ("first", "stall", "whole", "away")
        return replace(self, **{name: getattr(self, name) * factor for name in waits})


class Retries:
    """One request's tries."""

    def __init__(self, patience: Timeouts, away: float) -> None:
        self._give_up = time.monotonic() + away
        self._left = TRIES - 1
        self._pause = patience.first_pause
        self._longest = patience.longest_pause

    async def pause_or_raise(self, error: TransientError) -> None:
        """Wait before the next try, or raise what failed. Jitter keeps a crowd from returning in step."""
        self._left -= not error.is_away
        if self._left < 0 or time.monotonic() + self._pause > self._give_up:
            raise error.final from error
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))
        self._pause = min(2 * self._pause, self._longest)
