"""Products of a few vectors at a time for attention, written for the compiler's vectors of eight.

Sums stay in registers while positions go by. Each row's sums are made in the same order, however many go together: an
answer's numbers do not depend on its company. Products with weights are in `products.py`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
ANY_ORDER = ("reassoc", "contract", "nsz")
FLOAT, WHOLE = ir.FloatType(), ir.IntType(32)
FLOATS, WHOLES = (ir.VectorType(kind, LANES) for kind in (FLOAT, WHOLE))
NOTHING = ir.Constant(FLOATS, None)
AHEAD = 2048  # entries before their turn that vectors of one array are asked for: memory gives twice as much


def scores_of(most: int):
    """An intrinsic for compiled code: dot products of some vectors with up to `most` others.

    Its arguments are the addresses of the vectors (float32 [length, width]), of as many that will be read soon, of the
    others (float32 [count, width]) and of the results (float32 [count, at least length]); then the length, the width, a
    multiple of eight, the count, and how many numbers lie between the results of two others.
    """

    @intrinsic
    def scores(typing_context, vectors, soon, others, results, length, width, count, stride):
        def generate(context, builder, signature, arguments):
            vectors, soon, others, results, length, width, count, stride = arguments
            for number in each(builder, count, most):
                with cgutils.for_range(builder, length) as position:
                    begin, sums = builder.mul(position.index, width), _zeros(builder, number)
                    with cgutils.for_range(builder, builder.sdiv(width, width.type(LANES))) as loop:
                        place = builder.mul(loop.index, width.type(LANES))
                        here = builder.add(begin, place)
                        value = _eight(builder, vectors, here)
                        fetch(builder, item(builder, soon, here, FLOAT))
                        fetch(builder, item(builder, vectors, builder.add(here, here.type(AHEAD)), FLOAT))
                        for row, total in enumerate(sums):
                            entry = builder.add(builder.mul(width, width.type(row)), place)
                            _add_to(builder, total, _times(builder, value, _eight(builder, others, entry)))
                    _store_totals(builder, sums, address_of(builder, results, position.index), stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 4, *[types.intp] * 4), generate

    return scores


def mixtures_of(most: int):
    """An intrinsic for compiled code: up to `most` weighted sums of the same vectors.

    Its arguments are the addresses of the vectors (float32 [length, width]), of weights and of sums (float32 [count,
    width]); then the length, the width, a multiple of sixteen, the count, and how many numbers lie between the weights
    of one sum and those of the next.
    """

    @intrinsic
    def mixtures(typing_context, vectors, weights, sums, length, width, count, stride):
        def generate(context, builder, signature, arguments):
            vectors, weights, sums, length, width, count, stride = arguments
            for number in each(builder, count, most):
                with cgutils.for_range(builder, builder.sdiv(width, width.type(2 * LANES))) as columns:
                    place = builder.mul(columns.index, width.type(2 * LANES))
                    halves = [place, builder.add(place, width.type(LANES))]
                    totals = [_zeros(builder, number) for _ in halves]
                    with cgutils.for_range(builder, length) as loop:
                        begin = builder.mul(loop.index, width)
                        values = [_eight(builder, vectors, builder.add(begin, half)) for half in halves]
                        for row in range(number):
                            entry = builder.add(builder.mul(stride, width.type(row)), loop.index)
                            weight = _spread(builder, builder.load(item(builder, weights, entry, FLOAT)))
                            for value, half in zip(values, totals, strict=True):
                                _add_to(builder, half[row], _times(builder, weight, value))
                    for half, parts in zip(halves, totals, strict=True):
                        for row, total in enumerate(parts):
                            entry = builder.add(builder.mul(width, width.type(row)), half)
                            builder.store(builder.load(total), item(builder, sums, entry, FLOAT, FLOATS), align=4)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 3, *[types.intp] * 4), generate

    return mixtures


@intrinsic
def pointer(typing_context, address):
    """An address as what an array can be laid over."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def each(builder, count, most):
    """Every number from 1 to `most`, the code written for each to run where `count` is that number."""
    for number in range(1, most + 1):
        with builder.if_then(builder.icmp_signed("==", count, count.type(number))):
            yield number


def _zeros(builder, count):
    """Places for sums of eight lanes, which the compiler keeps in registers."""
    places = [cgutils.alloca_once(builder, FLOATS) for _ in range(count)]
    for place in places:
        builder.store(NOTHING, place)
    return places


def _add_to(builder, place, values):
    builder.store(_plus(builder, builder.load(place), values), place)


def _store_totals(builder, sums, results, stride):
    for row, lanes in enumerate(sums):
        entry = builder.mul(stride, stride.type(row))
        builder.store(_total(builder, builder.load(lanes)), item(builder, results, entry, FLOAT))


def item(builder, address, index, kind, loaded=None):
    """Where entry `index` of numbers of that kind lies, as a pointer to one or to eight."""
    place = builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])
    return builder.bitcast(place, (loaded or kind).as_pointer())


def address_of(builder, address, index):
    """The address of number `index`."""
    return builder.add(address, builder.mul(builder.zext(index, address.type), address.type(4)))


def fetch(builder, place):
    """Ask for what lies there, so that it is near when it is read."""
    ask = ir.FunctionType(ir.VoidType(), [place.type, WHOLE, WHOLE, WHOLE])
    fetch = cgutils.get_or_insert_function(builder.module, ask, "llvm.prefetch.p0")
    builder.call(fetch, [place, WHOLE(0), WHOLE(2), WHOLE(1)])


def _eight(builder, address, index):
    """The eight numbers from `index` on."""
    return builder.load(item(builder, address, index, FLOAT, FLOATS), align=4)


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
