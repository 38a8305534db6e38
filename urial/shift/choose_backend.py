"""Which arithmetic compares the rows of a device."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType

import torch

from urial.shift import torch_backend
from urial.shift.backend import Arithmetic

log = logging.getLogger(__name__)


def arithmetic_for(device: torch.device) -> Arithmetic:
    """Compiled loops for a processor where they can be made and run, torch elsewhere."""
    loops = compiled_loops() if device.type == "cpu" else None
    return loops.compare if loops and loops.can_run() else torch_backend.compare


@cache
def compiled_loops() -> ModuleType | None:
    """The module with the loops, compiled; None where this machine cannot compile."""
    try:
        from urial.shift import numba_backend  # a compiler is imported only where it is of use

        numba_backend.warm_up()
        return numba_backend
    except (ImportError, RuntimeError, OSError):
        log.warning("the statistics' loops could not be made; torch works them out", exc_info=True)
        return None
