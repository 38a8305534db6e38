"""Work that goes on beside whatever comes next, and is waited for by who needs it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def begin(job: Callable[[], T]) -> Future[T]:
    """What `job` gives, made in a thread of its own."""
    pool = ThreadPoolExecutor(1, "urial-background")
    made = pool.submit(job)
    pool.shutdown(wait=False)
    return made
