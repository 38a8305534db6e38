"""Compiling a decoder's loops before there is a model: numba needs the types of their arguments, not arrays of a size.

As a program it does so in a process of its own, as long as its standard input is open (`second_process.py`), for those
to load that look where compiled loops are kept. So nothing here may import torch, which takes seconds.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import typeof
from numpy.typing import NDArray

from urial.kernels import attention, by_address, decoder, layers, multiply, scales, sharing
from urial.kernels.flavours import kept_in
from urial.kernels.second_process import mark_of

IN_STEPS = (by_address.IN_32, by_address.IN_16, by_address.FROM_LEAST, by_address.NIBBLES)
# What a checkpoint's numbers may be stored as: only those of float32 can be steps.
WAYS = {
    "float32": (by_address.FLOAT32, *IN_STEPS),
    "bfloat16": (by_address.BFLOAT16, by_address.FLOAT32),  # an adapter is multiplied in float32
    "float16": (by_address.FLOAT16, by_address.FLOAT32),
}


Loop = tuple[Any, Sequence[Any]]  # one that is called from Python or compiled apart, and values of the types it gets


def compile_ahead(dtype: str, before_layers: Callable[[], object] = lambda: None) -> None:
    """All that a decoder of that type of numbers runs on a processor: ten seconds on a new machine, then a moment.

    `before_layers` is called when only what is made of all the others is left. Raises RuntimeError or numba's
    NumbaError where something cannot be compiled, KeyError for a type that has no loops.
    """
    for which in (*WAYS[dtype], by_address.MIXTURES):
        by_address.loop_address(which)
    sharing.sharing_address()
    for task in (multiply.multiply_tile, multiply.multiply_down, decoder.gate):
        sharing.task_address(task)
    _compile(product_loops() + (packing_loops() if dtype == "float32" else []))
    before_layers()
    compile_attention()
    _compile(layer_loops())


def compile_attention() -> None:
    attention.loops_of()
    _compile(attention_loops())


def _compile(loops: Sequence[Loop]) -> None:
    for loop, given in loops:
        loop.compile(tuple(typeof(one) for one in given))


def product_loops() -> list[Loop]:
    """Of products with weights, and what else is called by itself."""
    floats, table = _floats(1), _floats(1, 1)
    return [
        (decoder.norm, (table, floats, np.float32(0))),
        (multiply.multiply, (_wholes(1), table, floats, table)),
    ]


def attention_loops() -> list[Loop]:
    table, floats, wholes = _floats(1, 1), _floats(1), _wholes(1)
    return [(attention.attend, (table, _spans(), wholes, 0, 0, 0, floats, wholes, table))]


def layer_loops() -> list[Loop]:
    floats, places = _floats(1), _wholes(1)
    table, rows, tables = _floats(1, 1), _wholes(1, 1), _floats(1, 1, 1)
    given = (table, rows, floats, floats, tables, tables, _spans(), places, np.float32(0), table)
    return [(layers.run_layers, given)]


def packing_loops() -> list[Loop]:
    """Of the search for steps."""
    table, codes, failed = _floats(1, 1), np.zeros((1, 1), np.int8), np.zeros(1, np.uint8)
    return [
        (scales.find_scales, (table, 32, codes, table, failed)),
        (scales.find_scales_from_least, (table, 32, codes, table, table, failed)),
    ]


def _spans() -> NDArray[np.int64]:
    return _wholes(1, 1, attention.SPANS, attention.COLUMNS)


def _wholes(*shape: int) -> NDArray[np.int64]:
    return np.zeros(shape, np.int64)


def _floats(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def in_two_processes(dtype: str) -> None:
    """The same, attention in a process of its own; who needs it finds it on the disk, or compiles it once more."""
    other = os.fork() if hasattr(os, "fork") else None
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    if other == 0:
        compile_attention()
        os._exit(0)
    compile_ahead(dtype, lambda: os.waitpid(other, 0) if other else None)


def _end_with_the_caller() -> None:
    """Whoever started this process holds the other end of its standard input, which closes when that one ends."""
    os.read(0, 1)  # not through Python's own reader, whose lock an end meanwhile would wait for
    os._exit(1)


if __name__ == "__main__":
    in_two_processes(sys.argv[1])
    if folder := kept_in():
        mark_of(folder, sys.argv[1]).touch()
