"""One thread for all work on a processor's cores.

OpenMP gives each thread that calls it a team of its own, and as soon as all teams together have more threads than
there are cores, every team goes to sleep between two loops. A page is served from many threads, and a decoding step is
160 loops: it took 1.7 times as long (BENCHMARKS.md). A GPU needs none of this.
Knows nothing about what the work is. A job must not wait for a lock that is held while a job is waited for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
Team = Callable[[Callable[[], T]], T]  # runs a job and returns what it returns, or raises what it raises

_NAME = "urial-cores"
_executor = ThreadPoolExecutor(1, _NAME)


def _renew() -> None:
    """Threads stay behind when a process forks; some hosts run each request in a fork."""
    global _executor
    _executor = ThreadPoolExecutor(1, _NAME)


os.register_at_fork(after_in_child=_renew)


def team_for(device: str) -> Team:
    """How work on that kind of device is run."""
    return on_all_cores if device == "cpu" else at_once


def at_once(job: Callable[[], T]) -> T:
    return job()


def on_all_cores(job: Callable[[], T]) -> T:
    """In the one thread, after what came before; with as many cores as the caller may use."""
    if threading.current_thread().name.startswith(_NAME):
        return job()
    return _executor.submit(_with_cores, torch.get_num_threads(), job).result()


def _with_cores(count: int, job: Callable[[], T]) -> T:
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return job()
