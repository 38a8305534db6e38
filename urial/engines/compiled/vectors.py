"""One row of 8-bit codes times a few rows of numbers, written for the compiler's vectors of eight.

Left to itself the compiler adds up the eight lanes at the end of every block, which costs more than the products; here
each block's sums go into eight lanes times its scale, and lanes are added once a row of codes. Each row's sums are made
in the same order, however many go together: an answer's numbers do not depend on its company.
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
NOTHING = ir.Constant(FLOATS, None)


def products_of(block: int, most: int):
    """An intrinsic for compiled code: dot products of codes in blocks, times their scales, with up to `most` rows.

    Its arguments are the addresses of codes (int8 [blocks * block]), scales (float32 [blocks]), rows (float32 [count,
    blocks * block]) and the first result; then the number of blocks, the count, and how many numbers lie between two
    results. `block` is a multiple of eight.
    """

    @intrinsic
    def products(typing_context, codes, scales, rows, results, blocks, count, stride):
        def generate(context, builder, signature, arguments):
            codes, scales, rows, results, blocks, count, stride = arguments
            for number in _each(builder, count, most):
                sums = _block_sums(builder, codes, scales, rows, blocks, block, number)
                _store_totals(builder, sums, results, stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 4, *[types.intp] * 3), generate

    return products


def offset_products_of(block: int, most: int):
    """The same for codes that have an offset a block besides.

    Two more addresses come after the scales: offsets (float32 [padded]), and what they are multiplied with, the sum of
    each block of a row (float32 [count, padded]); both have zeros after the last block, up to a multiple of eight.
    """

    @intrinsic
    def products(typing_context, codes, scales, offsets, totals, rows, results, blocks, count, stride):
        def generate(context, builder, signature, arguments):
            codes, scales, offsets, totals, rows, results, blocks, count, stride = arguments
            for number in _each(builder, count, most):
                sums = _block_sums(builder, codes, scales, rows, blocks, block, number)
                _add_offsets(builder, sums, offsets, totals, blocks)
                _store_totals(builder, sums, results, stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 6, *[types.intp] * 3), generate

    return products


@intrinsic
def pointer(typing_context, address):
    """An address as what an array can be laid over."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def _each(builder, count, most):
    """Every number from 1 to `most`, the code written for each to run where `count` is that number."""
    for number in range(1, most + 1):
        with builder.if_then(builder.icmp_signed("==", count, count.type(number))):
            yield number


def _block_sums(builder, codes, scales, rows, blocks, block, count):
    """Where the eight sums of each row are held."""
    sums = [cgutils.alloca_once_value(builder, NOTHING) for _ in range(count)]
    size = blocks.type(block)
    width = builder.mul(blocks, size)
    with cgutils.for_range(builder, blocks) as loop:
        scale = _spread(builder, builder.load(_at(builder, scales, loop.index, FLOAT)))
        parts: list[ir.Value | None] = [None] * count
        for step in range(0, block, LANES):
            place = builder.add(builder.mul(loop.index, size), size.type(step))
            code = builder.load(_at(builder, codes, place, CODE, CODES), align=1)
            number = builder.sitofp(builder.sext(code, WHOLES), FLOATS)
            for row in range(count):
                entry = builder.add(builder.mul(width, size.type(row)), place)
                product = _times(builder, number, builder.load(_at(builder, rows, entry, FLOAT, FLOATS), align=4))
                parts[row] = product if step == 0 else _plus(builder, parts[row], product)
        for total, part in zip(sums, parts, strict=True):
            builder.store(_plus(builder, builder.load(total), _times(builder, scale, part)), total)
    return sums


def _add_offsets(builder, sums, offsets, totals, blocks):
    """Offsets times the row's own sum over each block, eight blocks at a time."""
    lanes = blocks.type(LANES)
    vectors = builder.sdiv(builder.add(blocks, blocks.type(LANES - 1)), lanes)
    padded = builder.mul(vectors, lanes)
    with cgutils.for_range(builder, vectors) as loop:
        place = builder.mul(loop.index, lanes)
        offset = builder.load(_at(builder, offsets, place, FLOAT, FLOATS), align=4)
        for row, total in enumerate(sums):
            entry = builder.add(builder.mul(padded, blocks.type(row)), place)
            values = builder.load(_at(builder, totals, entry, FLOAT, FLOATS), align=4)
            builder.store(_plus(builder, builder.load(total), _times(builder, offset, values)), total)


def _store_totals(builder, sums, results, stride):
    for row, lanes in enumerate(sums):
        entry = builder.mul(stride, stride.type(row))
        builder.store(_total(builder, builder.load(lanes)), _at(builder, results, entry, FLOAT))


def _at(builder, address, index, kind, loaded=None):
    """Where entry `index` of numbers of that kind lies, as a pointer to one or to eight."""
    place = builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])
    return builder.bitcast(place, (loaded or kind).as_pointer())


def _spread(builder, value):
    """The same value in all lanes."""
    one = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), value, WHOLE(0))
    return builder.shuffle_vector(one, ir.Constant(FLOATS, ir.Undefined), ir.Constant(WHOLES, [0] * LANES))


def _plus(builder, one, two):
    return builder.fadd(one, two, flags=("contract",))


def _times(builder, one, two):
    return builder.fmul(one, two, flags=("contract",))


def _total(builder, lanes):
    kind = ir.FunctionType(FLOAT, [FLOAT, FLOATS])
    add_up = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v8f32")
    return builder.call(add_up, [ir.Constant(FLOAT, 0.0), lanes], fastmath=ANY_ORDER)
