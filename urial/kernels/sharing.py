"""Work shared out among the cores, by one compiled loop for all of it.

What a parallel loop of numba's does is compiled four times over, in functions around each other, and once more in every
loop that calls that one. So there is one such loop, which has nothing inside but a call: of a task, by its address.
A task is a function of the address of what it was given, whole numbers one behind the other, and of an item's number.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numba import carray, prange, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from urial.kernels.by_address import call, made
from urial.kernels.flavours import ANY_ORDER, exactly
from urial.kernels.memory import LINE
from urial.kernels.simd import FLOAT, pointer

Task = Callable[[int, int], None]  # before it is compiled


def for_all(task, given, count):
    """The loop: a task, by its address, for every item."""
    for item in prange(count):
        call(task, (given, item))


def sharing_address() -> int:
    """Where the loop lies. Raises RuntimeError where it cannot be compiled."""
    address: int = made(for_all, parallel=True).address
    return address


def task_address(task: Task) -> int:
    """Where a task lies, whose sums may be made in any order. Raises RuntimeError where it cannot be compiled."""
    address: int = made(task, fastmath=frozenset(ANY_ORDER)).address
    return address


def share_out(task: Task, count: int, *given: int) -> None:
    """A task for every item up to `count`, on all cores, with the numbers that it is given.

    Raises RuntimeError where it cannot be compiled.
    """
    share, address = _ready(task)
    told = (ctypes.c_ssize_t * len(given))(*given)
    share(address, ctypes.addressof(told), count)


@cache
def _ready(task: Task) -> tuple[Callable[[int, int, int], None], int]:
    return made(for_all, parallel=True).ctypes, task_address(task)


@intrinsic
def shared_out(typing_context, sharing, task, count, given):
    """The same in compiled code, by the addresses of the loop and of the task, with a tuple of numbers and arrays.

    Arrays become their addresses, and live as long as the work lasts.
    """
    if not all(kind == types.intp or (isinstance(kind, types.Array) and kind.layout == "C") for kind in given):
        raise TypingError("a task is given arrays without gaps and whole numbers as wide as an address")

    def generate(context, builder, signature, arguments):
        whole = context.get_value_type(types.intp)
        sharing, task, count, given = arguments
        places = cgutils.alloca_once(builder, whole, len(signature.args[3]))
        for number, (kind, value) in enumerate(
            zip(signature.args[3], cgutils.unpack_tuple(builder, given), strict=True)
        ):
            if isinstance(kind, types.Array):
                value = builder.ptrtoint(context.make_array(kind)(context, builder, value).data, whole)
            builder.store(value, builder.gep(places, [whole(number)]))
        loop = ir.FunctionType(ir.VoidType(), [whole] * 3).as_pointer()
        builder.call(builder.inttoptr(sharing, loop), [task, builder.ptrtoint(places, whole), count])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, given), generate


@intrinsic(prefer_literal=True)
def numbers_at(typing_context, address, count):
    """In compiled code: so many whole numbers from an address on, as a tuple."""
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("how many numbers there are has to be known to the compiler")
    found = types.UniTuple(types.intp, count.literal_value)

    def generate(context, builder, signature, arguments):
        places = builder.inttoptr(arguments[0], context.get_value_type(types.intp).as_pointer())
        numbers = [builder.load(builder.gep(places, [places.type.pointee(n)])) for n in range(found.count)]
        return context.make_tuple(builder, found, numbers)

    return found(types.intp, count), generate


@intrinsic(prefer_literal=True)
def room(typing_context, count):
    """In compiled code: the address of a place for so many float32 numbers, which a function has until it returns."""
    if not isinstance(count, types.IntegerLiteral):
        raise TypingError("how many numbers there are has to be known to the compiler")

    def generate(context, builder, signature, arguments):
        place = cgutils.alloca_once(builder, ir.ArrayType(FLOAT, count.literal_value))
        place.align = LINE
        return builder.ptrtoint(place, context.get_value_type(types.intp))

    return types.intp(count), generate


@exactly
def floats_at(address, count):
    """In compiled code: so many float32 numbers from an address on, as an array."""
    return carray(pointer(address), (count,), np.float32)


@exactly
def integers_at(address, count):
    """The same of whole numbers."""
    return carray(pointer(address), (count,), np.int64)
