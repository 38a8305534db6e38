"""Compiling a decoder's loops before there is a model: numba needs the types of their arguments, not arrays of a size.

`python -m urial.kernels.ahead bfloat16` does it in a process of its own (`second_process.py`), for those to load that
look where compiled loops are kept. So nothing here may import torch, which takes seconds.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import typeof

from urial.kernels import by_address, decoder, layers, scales
from urial.kernels.attention import SPANS
from urial.kernels.decoder import Matrix

IN_STEPS = (by_address.IN_32, by_address.IN_16, by_address.FROM_LEAST, by_address.NIBBLES)
# What a checkpoint's numbers may be stored as: only those of float32 can be steps.
WAYS = {
    "float32": (by_address.FLOAT32, *IN_STEPS),
    "bfloat16": (by_address.BFLOAT16,),
    "float16": (by_address.FLOAT16,),
}


def compile_ahead(dtype: str) -> None:
    """All that a decoder of that type of numbers runs on a processor: ten seconds on a new machine, then a moment.

    Raises numba's NumbaError where something cannot be compiled, KeyError for a type that has no loops.
    """
    for which in (*WAYS[dtype], by_address.SCORES, by_address.MIXTURES):
        by_address.loop_address(which)
    for loop, given in decoder_loops() + (packing_loops() if dtype == "float32" else []):
        loop.compile(tuple(typeof(one) for one in given))


def decoder_loops() -> list[tuple[Any, Sequence[Any]]]:
    """Loops that are called from Python, and values of the types that they are called with."""
    floats, places = _floats(1), np.zeros(1, np.int64)
    table, rows, tables = _floats(1, 1), np.zeros((1, 1), np.int64), _floats(1, 1, 1)
    spans, eps = np.zeros((1, 1, SPANS, 3), np.int64), np.float32(0)
    codes = np.zeros((1, 1), np.uint8)
    matrix = Matrix(0, 0, 0, 0, codes, table, table, floats, table, tables, places)
    return [
        (layers.run_layers, (table, rows, floats, floats, tables, tables, spans, places, eps, table)),
        (decoder.norm, (table, floats, eps)),
        (decoder.multiply, (matrix, table, floats, table)),
    ]


def packing_loops() -> list[tuple[Any, Sequence[Any]]]:
    """The same of the search for steps."""
    table, codes, failed = _floats(1, 1), np.zeros((1, 1), np.int8), np.zeros(1, np.uint8)
    return [
        (scales.find_scales, (table, 32, codes, table, failed)),
        (scales.find_scales_from_least, (table, 32, codes, table, table, failed)),
    ]


def _floats(*shape: int) -> decoder.Floats:
    return np.zeros(shape, np.float32)


def _end_with_the_caller() -> None:
    """Whoever started this process holds the other end of its standard input, which closes when that one ends."""
    os.read(0, 1)  # not through Python's own reader, whose lock an end meanwhile would wait for
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    compile_ahead(sys.argv[1])
