"""One event loop in a thread of its own, for all connections to servers; everything else here stays synchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines for callers in other threads. The thread is a daemon: it never holds up the end of a program."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="urial-servers", daemon=True).start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin, and hand back the future; cancelling it cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end. An interrupt of the caller cancels the work."""
        future = self.start(work)
        try:
            return future.result()
        finally:
            future.cancel()


@lru_cache(maxsize=1)
def background() -> Background:
    """The one loop of this process."""
    return Background()
