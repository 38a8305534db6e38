"""Which arithmetic compares the rows of a device. Knows nothing about rows."""

from __future__ import annotations

import logging
from functools import cache
from types import ModuleType

import torch

from urial.distributions import in_torch
from urial.distributions.base import Arithmetic

log = logging.getLogger(__name__)


def arithmetic_for(device: torch.device) -> Arithmetic:
    """Compiled loops for a processor where they can be made and run, torch elsewhere."""
    loops = _loops() if device.type == "cpu" else None
    return loops.compare if loops and loops.can_run() else in_torch.compare


@cache
def _loops() -> ModuleType | None:
    """The module with the loops, compiled; None where this machine cannot compile."""
    try:
        from urial.distributions import in_loops  # a compiler is imported only where it is of use

        in_loops.warm_up()
        return in_loops
    except (ImportError, RuntimeError, OSError):
        log.warning("the statistics' loops could not be made; torch works them out", exc_info=True)
        return None
