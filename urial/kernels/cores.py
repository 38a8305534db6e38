"""Turns at the compiled loops: one at a time, on as many cores as torch may use.

A loop takes all cores, and not every thread pool that numba may have bears two callers. A process that was forked after
a loop has run can run none: GNU's OpenMP would end it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch
from numba.core.errors import NumbaError
from torch.profiler import record_function

_RUNNING = threading.Lock()
_ran_in: list[int] = []  # the process in which a loop has run


def can_run() -> bool:
    """Whether loops may run in this process."""
    return not _ran_in or _ran_in[-1] == os.getpid()


@contextmanager
def all_cores(name: str) -> Iterator[None]:
    """The calling thread's turn, under that name in a profile.

    Raises RuntimeError where a loop cannot be compiled, or loops may not run.
    """
    if not can_run():
        raise RuntimeError("this process was forked after compiled loops had run; they cannot run here")
    with _RUNNING, record_function(name):
        _ran_in[:] = [os.getpid()]
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        except NumbaError as error:
            raise RuntimeError(f"a loop could not be compiled: {error}") from error
