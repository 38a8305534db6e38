"""Products of a few rows with weights as they are held: numbers of a checkpoint, or eight-bit codes with scales.

Whatever a weight is held as, it becomes the float32 that it stands for in a register, and nothing is lost. Several
outputs go together, so that a row's numbers are loaded once for all of them, and the sums of one do not wait for those
of another. The sum of each output and row is made in the same order whatever goes beside it and whatever the weights
are held as.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from urial.kernels.memory import LINE
from urial.kernels.simd import (
    FLOAT,
    FLOATS,
    HAS_AVX512,
    LANES,
    WHOLE,
    add_product,
    address_of,
    each,
    fetch,
    floats,
    item,
    spread,
    store_totals,
    zeros,
)

IS_ZEN = binding.get_host_cpu_name().startswith("znver")
# With four rows the sums of four outputs fill half of the registers; Intel's processors follow two streams better.
OUTPUTS_AT_ONCE = 4 if HAS_AVX512 and IS_ZEN else 2
STEP = 16  # a width is a multiple of it on every machine
# How many bytes before their turn weights are asked for. Several outputs side by side are no stream that a processor
# follows by itself: without it memory gave 10 GB/s of 25 (Intel Emerald Rapids; at 2 KiB 16, from 8 to 24 KiB 24).
AHEAD = 12 * 1024
WHOLES, SHORTS, CODES = (ir.VectorType(kind, LANES) for kind in (WHOLE, ir.IntType(16), ir.IntType(8)))
HALVES = ir.VectorType(ir.HalfType(), LANES)


class Held(NamedTuple):
    """Where weights [outputs, width] lie: addresses of numbers or codes, and of each block's scale and offset."""

    numbers: ir.Value
    scales: ir.Value  # float32 [outputs, blocks], read for codes only
    offsets: ir.Value  # float32 [outputs, blocks], read for codes with offsets only


# (builder, weights, which of all blocks, how many entries each has) -> the block's float32 weights, vector by vector
Read = Callable[[ir.IRBuilder, Held, ir.Value, int], list[ir.Value]]


def float32(builder, held, block, size):
    return [floats(builder, held.numbers, place) for place in _places(builder, block, size)]


def bfloat16(builder, held, block, size):
    """A bfloat16 is the upper half of a float32."""
    return [_widened(builder, held.numbers, place) for place in _places(builder, block, size)]


def _widened(builder, address, place):
    short = builder.load(item(builder, address, place, ir.IntType(16), SHORTS), align=2)
    upper = builder.shl(builder.zext(short, WHOLES), ir.Constant(WHOLES, [16] * LANES))
    return builder.bitcast(upper, FLOATS)


def float16(builder, held, block, size):
    entries = (item(builder, held.numbers, place, ir.IntType(16), HALVES) for place in _places(builder, block, size))
    return [builder.fpext(builder.load(entry, align=2), FLOATS) for entry in entries]


def codes(builder, held, block, size):
    """Code times the block's scale, rounded once, as when the file was unpacked."""
    scale = spread(builder, builder.load(item(builder, held.scales, block, FLOAT)))
    entries = (item(builder, held.numbers, place, ir.IntType(8), CODES) for place in _places(builder, block, size))
    steps = (builder.sitofp(builder.sext(builder.load(entry, align=1), WHOLES), FLOATS) for entry in entries)
    return [builder.fmul(step, scale) for step in steps]


def offset_codes(builder, held, block, size):
    """The same plus the block's offset: two roundings, as when the file was unpacked."""
    offset = spread(builder, builder.load(item(builder, held.offsets, block, FLOAT)))
    return [builder.fadd(weight, offset) for weight in codes(builder, held, block, size)]


def nibbles(builder, held, block, size):
    """As `offset_codes`, of codes from 0 to 15: each byte has that of one entry and of the one half a block later."""
    scale = spread(builder, builder.load(item(builder, held.scales, block, FLOAT)))
    offset = spread(builder, builder.load(item(builder, held.offsets, block, FLOAT)))
    entries = (item(builder, held.numbers, at, ir.IntType(8), CODES) for at in _places(builder, block, size // 2))
    both = [builder.zext(builder.load(entry, align=1), WHOLES) for entry in entries]
    high = [builder.lshr(pair, ir.Constant(WHOLES, [4] * LANES)) for pair in both]
    if LANES == 16:  # all that a block's codes can stand for fits into one vector, and is looked up there
        every = builder.fmul(ir.Constant(FLOATS, [float(code) for code in range(16)]), scale)
        return [_looked_up(builder, builder.fadd(every, offset), code) for code in [*both, *high]]
    low = [builder.and_(pair, ir.Constant(WHOLES, [15] * LANES)) for pair in both]
    steps = (builder.sitofp(code, FLOATS) for code in [*low, *high])
    return [builder.fadd(builder.fmul(step, scale), offset) for step in steps]


def _looked_up(builder, values, places):
    """Those of the values that the last four bits of each place tell."""
    kind = ir.FunctionType(FLOATS, [FLOATS, WHOLES])
    look_up = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.permvar.sf.512")
    return builder.call(look_up, [values, places])


BITS = {float32: 32, bfloat16: 16, float16: 16, codes: 8, offset_codes: 8, nibbles: 4}  # of one entry


def products_of(read: Read, size: int, most: int):
    """An intrinsic for compiled code: dot products of weights with up to `most` rows.

    Its arguments are the addresses of what is held, of scales and of offsets, of rows (float32 [count, blocks * size])
    and of results; then the numbers of outputs, of blocks and of rows, and how many numbers lie between the results of
    two rows. `size`, a multiple of sixteen, is how many entries `read` makes at a time.
    """

    @intrinsic
    def products(typing_context, numbers, scales, offsets, rows, results, outputs, blocks, count, stride):
        def generate(context, builder, signature, arguments):
            numbers, scales, offsets, rows, results, outputs, blocks, count, stride = arguments
            held, together = Held(numbers, scales, offsets), outputs.type(OUTPUTS_AT_ONCE)
            whole = builder.mul(builder.sdiv(outputs, together), together)
            for number in each(builder, count, most):
                with cgutils.for_range(builder, builder.sdiv(outputs, together)) as loop:
                    first = builder.mul(loop.index, together)
                    sums = _sums(builder, read, size, held, rows, first, blocks, OUTPUTS_AT_ONCE, number)
                    store_totals(builder, sums, address_of(builder, results, first), stride)
            with (
                cgutils.for_range(builder, builder.sub(outputs, whole)) as loop,
                cgutils.for_range(builder, count) as row,
            ):
                first = builder.add(whole, loop.index)
                given = address_of(builder, rows, builder.mul(row.index, builder.mul(blocks, blocks.type(size))))
                into = address_of(builder, results, builder.mul(row.index, stride))
                sums = _sums(builder, read, size, held, given, first, blocks, 1, 1)
                store_totals(builder, sums, address_of(builder, into, first), stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 5, *[types.intp] * 4), generate

    return products


def _sums(builder, read, size, held, rows, first, blocks, outputs: int, count: int):
    """Where the lanes of each sum are held, for some outputs from `first` on and `count` rows: [count][outputs]."""
    sums = [zeros(builder, outputs) for _ in range(count)]
    starts = [builder.mul(blocks, builder.add(first, first.type(ahead))) for ahead in range(outputs)]
    width = builder.mul(blocks, blocks.type(size))
    with cgutils.for_range(builder, blocks) as loop:
        _fetch_ahead(builder, held, starts[0], loop.index, outputs, size * BITS[read] // 8)
        weights = [read(builder, held, builder.add(start, loop.index), size) for start in starts]
        for step, place in enumerate(_places(builder, loop.index, size)):
            for row, totals in enumerate(sums):
                entry = floats(builder, rows, builder.add(builder.mul(width, width.type(row)), place))
                for vectors, total in zip(weights, totals, strict=True):
                    add_product(builder, total, vectors[step], entry)
    return sums


def _fetch_ahead(builder, held, start, index, outputs: int, size: int):
    """Ask for weights whose turn comes AHEAD bytes later, in the order in which they lie in memory.

    Each step over blocks of `size` bytes asks for as much as it reads: all `outputs` of the step lie one behind the
    other from block `start` on. Past the end of a matrix nothing happens.
    """
    begin = builder.add(builder.mul(start, start.type(size)), builder.mul(index, start.type(outputs * size)))
    for line in range(0, outputs * size, LINE):
        place = builder.add(begin, begin.type(AHEAD + line))
        fetch(builder, item(builder, held.numbers, place, ir.IntType(8)))


def _places(builder, block, size):
    """The first entries of a block's vectors."""
    start = builder.mul(block, block.type(size))
    return [builder.add(start, start.type(ahead)) for ahead in range(0, size, LANES)]
