"""Products of a few rows with weights as a checkpoint stores them: float32, bfloat16 or float16.

Two bytes a weight are read, and become float32 in a register, which loses nothing. Several outputs go together, so
that a row's numbers are loaded once for all of them, and the sums of one do not wait for those of another. The sum of
each output and row is made in the same order whatever goes beside it. Vectors are as wide as the processor's, sixteen
numbers with AVX-512, else eight (untested on ARM, where eight compile to two vectors of four); what numba keeps
compiled is keyed by the processor.
Knows addresses; nothing about arrays' shapes or what the numbers mean.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from urial.engines.local.compiled_cpu.simd import FLOAT, WHOLE, address_of, each, item

HAS_AVX512 = binding.get_host_cpu_features().get("avx512f", False)
LANES = 16 if HAS_AVX512 else 8
OUTPUTS_AT_ONCE = 4 if HAS_AVX512 else 2  # with four rows their sums fill half of the registers
STEP = 16  # a width is a multiple of it on every machine
FLOATS, WHOLES, SHORTS = (ir.VectorType(kind, LANES) for kind in (FLOAT, WHOLE, ir.IntType(16)))
HALVES = ir.VectorType(ir.HalfType(), LANES)


def float32(builder, address, index):
    return builder.load(item(builder, address, index, FLOAT, FLOATS), align=4)


def bfloat16(builder, address, index):
    """A bfloat16 is the upper half of a float32."""
    short = builder.load(item(builder, address, index, ir.IntType(16), SHORTS), align=2)
    upper = builder.shl(builder.zext(short, WHOLES), ir.Constant(WHOLES, [16] * LANES))
    return builder.bitcast(upper, FLOATS)


def float16(builder, address, index):
    half = builder.load(item(builder, address, index, ir.IntType(16), HALVES), align=2)
    return builder.fpext(half, FLOATS)


def stored_products_of(load, most: int):
    """An intrinsic for compiled code: dot products of stored weights with up to `most` rows.

    `load` makes float32 lanes of them. Its arguments are the addresses of weights ([outputs, width]), rows (float32
    [count, width]) and results; then the numbers of outputs, of a row's entries (a multiple of sixteen) and of rows,
    and how many numbers lie between the results of two rows.
    """

    @intrinsic
    def products(typing_context, weights, rows, results, outputs, width, count, stride):
        def generate(context, builder, signature, arguments):
            _, _, _, outputs, _, count, _ = arguments
            size = outputs.type(OUTPUTS_AT_ONCE)
            blocks = builder.sdiv(outputs, size)
            whole = builder.mul(blocks, size)
            for number in each(builder, count, most):
                with cgutils.for_range(builder, blocks) as loop:
                    first = builder.mul(loop.index, size)
                    _block(builder, load, arguments, first, OUTPUTS_AT_ONCE, number)
                with cgutils.for_range(builder, builder.sub(outputs, whole)) as loop:
                    _block(builder, load, arguments, builder.add(whole, loop.index), 1, number)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 3, *[types.intp] * 4), generate

    return products


def _block(builder, load, arguments, first, outputs: int, count: int) -> None:
    """Some outputs from `first` on, for `count` rows."""
    weights, rows, results, _, width, _, stride = arguments
    sums = [[cgutils.alloca_once(builder, FLOATS) for _ in range(count)] for _ in range(outputs)]
    for places in sums:
        for place in places:
            builder.store(ir.Constant(FLOATS, None), place)
    starts = [builder.mul(width, builder.add(first, first.type(ahead))) for ahead in range(outputs)]
    lanes = width.type(LANES)
    with cgutils.for_range(builder, builder.sdiv(width, lanes)) as loop:
        place = builder.mul(loop.index, lanes)
        given = [float32(builder, rows, builder.add(builder.mul(width, width.type(r)), place)) for r in range(count)]
        for start, places in zip(starts, sums, strict=True):
            weight = load(builder, weights, builder.add(start, place))
            for row, total in zip(given, places, strict=True):
                product = builder.fmul(weight, row, flags=("contract",))
                builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)
    for ahead, places in enumerate(sums):
        into = address_of(builder, results, builder.add(first, first.type(ahead)))
        for row, total in enumerate(places):
            entry = builder.mul(stride, stride.type(row))
            builder.store(_total(builder, builder.load(total)), item(builder, into, entry, FLOAT))


def _total(builder, lanes):
    """All lanes added up, one half to the other: an order that no compiler changes."""
    width = LANES
    while width > 1:
        width //= 2
        halves = [ir.Constant(ir.VectorType(WHOLE, width), list(range(at, at + width))) for at in (0, width)]
        empty = ir.Constant(lanes.type, ir.Undefined)
        lanes = builder.fadd(*(builder.shuffle_vector(lanes, empty, half) for half in halves))
    return builder.extract_element(lanes, WHOLE(0))
