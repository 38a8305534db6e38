"""Turns at the compiled loops: one at a time, on as many cores as torch may use.

A loop takes all cores, and not every thread pool that numba may have bears two callers. Knows nothing about loops.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numba
import torch
from numba.core.errors import NumbaError
from torch.profiler import record_function

_RUNNING = threading.Lock()


@contextmanager
def all_cores(name: str) -> Iterator[None]:
    """The calling thread's turn, under that name in a profile. Raises RuntimeError where a loop cannot be compiled."""
    with _RUNNING, record_function(name):
        numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        except NumbaError as error:
            raise RuntimeError(f"a loop could not be compiled: {error}") from error
