"""One row of 8-bit codes times two vectors, written for the compiler's vectors of eight.

Left to itself the compiler adds up the eight lanes at the end of every block, which costs more than the products; here
each block's sums go into eight lanes times its scale, and lanes are added once a row.
Knows addresses and blocks; nothing about arrays' shapes or what the numbers mean.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
ANY_ORDER = ("reassoc", "contract", "nsz")
FLOAT, CODE, WHOLE = ir.FloatType(), ir.IntType(8), ir.IntType(32)
FLOATS, CODES, WHOLES = (ir.VectorType(kind, LANES) for kind in (FLOAT, CODE, WHOLE))


def dots_of(block: int):
    """An intrinsic for compiled code: (codes, scales, first, second, blocks) to both dot products.

    The first four are addresses (of int8 [blocks * block], float32 [blocks], float32 [blocks * block] twice), `blocks`
    their number; `block` is a multiple of eight.
    """

    @intrinsic
    def dots(typing_context, codes, scales, first, second, blocks):
        def generate(context, builder, signature, arguments):
            sums = _lane_sums(builder, *arguments, block)
            return context.make_tuple(builder, signature.return_type, [_total(builder, lanes) for lanes in sums])

        address = types.uintp
        return types.UniTuple(types.float32, 2)(address, address, address, address, types.intp), generate

    return dots


def _lane_sums(builder, codes, scales, first, second, blocks, block):
    """Eight sums for each vector."""
    nothing = ir.Constant(FLOATS, None)
    sums = [cgutils.alloca_once_value(builder, nothing) for _ in range(2)]
    with cgutils.for_range(builder, blocks) as loop:
        scale = _spread(builder, builder.load(_at(builder, scales, loop.index, FLOAT)))
        parts = [nothing, nothing]
        for step in range(0, block, LANES):
            place = builder.add(builder.mul(loop.index, loop.index.type(block)), loop.index.type(step))
            code = builder.load(_at(builder, codes, place, CODE, CODES), align=1)
            number = builder.sitofp(builder.sext(code, WHOLES), FLOATS)
            for side, vector in enumerate((first, second)):
                values = builder.load(_at(builder, vector, place, FLOAT, FLOATS), align=4)
                parts[side] = _plus(builder, parts[side], _times(builder, number, values))
        for total, part in zip(sums, parts, strict=True):
            builder.store(_plus(builder, builder.load(total), _times(builder, scale, part)), total)
    return [builder.load(total) for total in sums]


def _at(builder, address, index, kind, loaded=None):
    """Where entry `index` of numbers of that kind lies, as a pointer to one or to eight."""
    place = builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])
    return builder.bitcast(place, (loaded or kind).as_pointer())


def _spread(builder, value):
    """The same value in all lanes."""
    one = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), value, WHOLE(0))
    return builder.shuffle_vector(one, ir.Constant(FLOATS, ir.Undefined), ir.Constant(WHOLES, [0] * LANES))


def _plus(builder, one, two):
    return builder.fadd(one, two, flags=ANY_ORDER)


def _times(builder, one, two):
    return builder.fmul(one, two, flags=ANY_ORDER)


def _total(builder, lanes):
    total = builder.extract_element(lanes, WHOLE(0))
    for lane in range(1, LANES):
        total = _plus(builder, total, builder.extract_element(lanes, WHOLE(lane)))
    return total
