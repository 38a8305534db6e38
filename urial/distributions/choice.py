"""Which arithmetic compares the rows of a device. Knows nothing about rows."""

from __future__ import annotations

import logging
from functools import cache

import torch

from urial.distributions import in_torch
from urial.distributions.base import Arithmetic

log = logging.getLogger(__name__)


def arithmetic_for(device: torch.device) -> Arithmetic:
    """Compiled loops for a processor, torch elsewhere."""
    return _in_loops() if device.type == "cpu" else in_torch.compare


@cache
def _in_loops() -> Arithmetic:
    """Compiled loops; torch where this machine cannot compile."""
    try:
        from urial.distributions import in_loops  # a compiler is imported only where it is of use

        in_loops.warm_up()
        return in_loops.compare
    except (ImportError, RuntimeError, OSError):
        log.warning("the statistics' loops could not be made; torch works them out", exc_info=True)
        return in_torch.compare
