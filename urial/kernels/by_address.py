"""Sums of products as compiled functions of their own, which loops call by address.

They are large, as each is written out for one row to four. A loop that had one inside would hold it once more, and so
would each loop that calls that loop, and the compiler would work through all of them: by address it never sees them.
Each is compiled once, and one for weights only where weights are stored so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from llvmlite import ir
from numba import cfunc, types
from numba.core import cgutils
from numba.core.errors import NumbaError, TypingError
from numba.extending import intrinsic

from urial.kernels.products import (
    STEP,
    bfloat16,
    codes,
    float16,
    float32,
    nibbles,
    offset_codes,
    products_of,
)
from urial.kernels.simd import mixtures_of, scores_of

IN_32, IN_16, FROM_LEAST, NIBBLES, FLOAT32, BFLOAT16, FLOAT16 = range(7)  # ways to store weights
SCORES, MIXTURES = 7, 8
ROWS_AT_ONCE = 4  # rows that one reading of the codes is multiplied with: so many sums fit into a core's registers

_in_32 = products_of(codes, 32, ROWS_AT_ONCE)
_in_16 = products_of(codes, 16, ROWS_AT_ONCE)
_from_least = products_of(offset_codes, 32, ROWS_AT_ONCE)
_in_nibbles = products_of(nibbles, 32, ROWS_AT_ONCE)
_in_float32 = products_of(float32, STEP, ROWS_AT_ONCE)
_in_bfloat16 = products_of(bfloat16, STEP, ROWS_AT_ONCE)
_in_float16 = products_of(float16, STEP, ROWS_AT_ONCE)
_scores = scores_of(ROWS_AT_ONCE)
_mixtures = mixtures_of(ROWS_AT_ONCE)


# A function each, not one made for each: numba tells what it kept by a function's name and place.
def of_32(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_32(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_least(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _from_least(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_nibbles(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_nibbles(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_float32(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_float32(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_bfloat16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_bfloat16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def of_float16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
    _in_float16(numbers, scales, offsets, rows, results, outputs, blocks, count, stride)


def scores(vectors, soon, others, results, length, width, count, stride):
    _scores(vectors, soon, others, results, length, width, count, stride)


def mixtures(vectors, weights, sums, length, width, count, stride):
    _mixtures(vectors, weights, sums, length, width, count, stride)


FUNCTIONS = {
    IN_32: of_32,
    IN_16: of_16,
    FROM_LEAST: of_least,
    NIBBLES: of_nibbles,
    FLOAT32: of_float32,
    BFLOAT16: of_bfloat16,
    FLOAT16: of_float16,
    SCORES: scores,
    MIXTURES: mixtures,
}


_MAKING = threading.Lock()  # or two threads would make one twice, and the code of one would go with it


def made(function: Callable[..., None], *, fastmath: frozenset[str] = frozenset(), parallel: bool = False) -> Any:
    """A function of whole numbers as wide as an address, compiled as C calls one, with numba's options.

    Raises RuntimeError where it cannot be compiled.
    """
    try:
        with _MAKING:
            return _made(function, fastmath, parallel)
    except NumbaError as error:
        raise RuntimeError(f"a loop could not be compiled: {error}") from error


@cache
def _made(
    function: Callable[..., None], fastmath: frozenset[str], parallel: bool
) -> Any:  # kept, as its code goes when it goes
    takes = types.void(*[types.intp] * function.__code__.co_argcount)
    options = {"fastmath": set(fastmath), "parallel": parallel}
    return cfunc(takes, cache=True, error_model="numpy", **options)(function)


def loop_address(which: int) -> int:
    """Where one of `FUNCTIONS` lies as long as the process lives; compiled where it is not yet, in half a second.

    Raises RuntimeError where it cannot be compiled.
    """
    address: int = made(FUNCTIONS[which]).address
    return address


@intrinsic
def call(typing_context, address, arguments):
    """In compiled code: the function at an address, with a tuple of its arguments, addresses and whole numbers."""

    def generate(context, builder, signature, values):
        given = cgutils.unpack_tuple(builder, values[1])
        takes = ir.FunctionType(ir.VoidType(), [value.type for value in given])
        builder.call(builder.inttoptr(values[0], takes.as_pointer()), given)
        return context.get_dummy_value()

    if not all(isinstance(kind, types.Integer) and kind.bitwidth == types.intp.bitwidth for kind in arguments):
        raise TypingError("a function is called by its address with whole numbers as wide as an address")
    return types.void(types.intp, arguments), generate
