"""Vectors for compiled code, and products of a few of them at a time for attention.

Vectors are as wide as the processor's, sixteen numbers with AVX-512, else eight (untested on ARM, where eight compile
to two vectors of four); what numba keeps compiled is keyed by the processor. Sums stay in registers while positions go
by. Each row's sums are made in the same order, however many go together: an answer's numbers do not depend on its
company. Products with weights are in `products.py`.
"""

from __future__ import annotations

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

HAS_AVX512 = binding.get_host_cpu_features().get("avx512f", False)
LANES = 16 if HAS_AVX512 else 8
FLOAT, WHOLE = ir.FloatType(), ir.IntType(32)
FLOATS = ir.VectorType(FLOAT, LANES)
FLOAT_BYTES = 4
POSITIONS = 4 if HAS_AVX512 else 2  # that go together: with four others, their sums fill half of the registers
AHEAD = 2048  # entries before their turn that vectors of one array are asked for: memory gives twice as much


def scores_of(most: int):
    """An intrinsic for compiled code: dot products of some vectors with up to `most` others.

    Its arguments are the addresses of the vectors (float32 [length, width]), of as many that will be read soon, of the
    others (float32 [count, width]) and of the results (float32 [count, at least length]); then the length, the width, a
    multiple of sixteen, the count, and how many numbers lie between the results of two others.
    """

    @intrinsic
    def scores(typing_context, vectors, soon, others, results, length, width, count, stride):
        def generate(context, builder, signature, arguments):
            vectors, soon, others, results, length, width, count, stride = arguments
            rest = builder.srem(length, length.type(POSITIONS))
            for number in each(builder, count, most):
                with cgutils.for_range(builder, builder.sdiv(length, length.type(POSITIONS))) as some:
                    first = builder.mul(some.index, length.type(POSITIONS))
                    sums = _dots(builder, vectors, soon, others, first, width, POSITIONS, number)
                    store_totals(builder, sums, address_of(builder, results, first), stride)
                with cgutils.for_range(builder, rest) as one:
                    first = builder.add(builder.sub(length, rest), one.index)
                    sums = _dots(builder, vectors, soon, others, first, width, 1, number)
                    store_totals(builder, sums, address_of(builder, results, first), stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 4, *[types.intp] * 4), generate

    return scores


def _dots(builder, vectors, soon, others, first, width, positions: int, number: int):
    """Where the lanes of each dot product of positions from `first` on are held: [number of others][positions]."""
    sums = [zeros(builder, positions) for _ in range(number)]
    begins = [builder.mul(builder.add(first, first.type(ahead)), width) for ahead in range(positions)]
    with cgutils.for_range(builder, builder.sdiv(width, width.type(LANES))) as loop:
        place = builder.mul(loop.index, width.type(LANES))
        entries = [builder.add(begin, place) for begin in begins]
        for entry in entries:
            fetch(builder, item(builder, soon, entry, FLOAT))
            fetch(builder, item(builder, vectors, builder.add(entry, entry.type(AHEAD)), FLOAT))
        values = [floats(builder, vectors, entry) for entry in entries]
        for row, totals in enumerate(sums):
            other = floats(builder, others, builder.add(builder.mul(width, width.type(row)), place))
            for value, total in zip(values, totals, strict=True):
                add_product(builder, total, value, other)
    return sums


def mixtures_of(most: int):
    """An intrinsic for compiled code: vectors times weights, added to up to `most` sums.

    Its arguments are the addresses of the vectors (float32 [length, width]), of weights and of sums (float32 [count,
    width]); then the length, the width, a multiple of sixteen, the count, and how many numbers lie between the weights
    of one sum and those of the next. Vectors in two calls give the same sums as in one.
    """

    @intrinsic
    def mixtures(typing_context, vectors, weights, sums, length, width, count, stride):
        def generate(context, builder, signature, arguments):
            vectors, weights, sums, length, width, count, stride = arguments
            rest = builder.srem(width, width.type(2 * LANES))
            for number in each(builder, count, most):
                with cgutils.for_range(builder, builder.sdiv(width, width.type(2 * LANES))) as columns:
                    place = builder.mul(columns.index, width.type(2 * LANES))
                    _mix(builder, vectors, weights, sums, place, 2, length, width, number, stride)
                with builder.if_then(builder.icmp_signed(">", rest, rest.type(0))):
                    place = builder.sub(width, rest)
                    _mix(builder, vectors, weights, sums, place, 1, length, width, number, stride)
            return context.get_dummy_value()

        return types.void(*[types.uintp] * 3, *[types.intp] * 4), generate

    return mixtures


def _mix(builder, vectors, weights, sums, place, together: int, length, width, number: int, stride):
    """Columns of all sums, as many vectors of them `together`, from `place` on."""
    parts = [builder.add(place, place.type(LANES * part)) for part in range(together)]
    rows = [builder.mul(width, width.type(row)) for row in range(number)]
    entries = [[item(builder, sums, builder.add(row, part), FLOAT, FLOATS) for part in parts] for row in rows]
    totals = [zeros(builder, together) for _ in rows]
    for places, held in zip(totals, entries, strict=True):
        for total, entry in zip(places, held, strict=True):
            builder.store(builder.load(entry, align=4), total)
    with cgutils.for_range(builder, length) as loop:
        begin = builder.mul(loop.index, width)
        values = [floats(builder, vectors, builder.add(begin, part)) for part in parts]
        for row, places in enumerate(totals):
            weight = builder.add(builder.mul(stride, width.type(row)), loop.index)
            factor = spread(builder, builder.load(item(builder, weights, weight, FLOAT)))
            for value, total in zip(values, places, strict=True):
                add_product(builder, total, factor, value)
    for places, held in zip(totals, entries, strict=True):
        for total, entry in zip(places, held, strict=True):
            builder.store(builder.load(total), entry, align=4)


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


def zeros(builder, count: int):
    """Places for so many vectors of sums, which the compiler keeps in registers."""
    places = [cgutils.alloca_once(builder, FLOATS) for _ in range(count)]
    for place in places:
        builder.store(ir.Constant(FLOATS, None), place)
    return places


def add_product(builder, place, one, two):
    product = builder.fmul(one, two, flags=("contract",))
    builder.store(builder.fadd(builder.load(place), product, flags=("contract",)), place)


def store_totals(builder, sums, results, stride):
    """The totals of each row's vectors [rows][n] side by side, rows `stride` numbers apart."""
    for row, places in enumerate(sums):
        found = totals(builder, [builder.load(place) for place in places])
        entry = item(builder, results, builder.mul(stride, stride.type(row)), FLOAT, found.type)
        builder.store(found, entry, align=4)


def totals(builder, vectors):
    """The lanes of each of n vectors added up, n a power of two: one vector of n totals.

    One half is added to the other until one number is left, an order that no compiler changes; first halves of two
    vectors become one, as long as there are two. So a total is the same number whatever goes beside it.
    """
    held, width = 1, vectors[0].type.count  # totals of a vector, and lanes of each
    while width > 1:
        width //= 2
        if len(vectors) > 1:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
            held *= 2
        else:
            pairs = [(vectors[0], ir.Constant(vectors[0].type, ir.Undefined))]
        vectors = [_halves_added(builder, one, two, held, width) for one, two in pairs]
    return vectors[0]


def _halves_added(builder, one, two, held: int, width: int):
    """Of all totals of two vectors, `held` ones of twice `width` lanes, the first lanes plus the others."""
    halves = (
        [2 * width * total + half + lane for total in range(held) for lane in range(width)] for half in (0, width)
    )
    places = (ir.Constant(ir.VectorType(WHOLE, held * width), half) for half in halves)
    return builder.fadd(*(builder.shuffle_vector(one, two, place) for place in places))


def item(builder, address, index, kind, loaded=None):
    """Where entry `index` of numbers of that kind lies, as a pointer to one or to a vector."""
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


def floats(builder, address, index):
    """The vector of numbers from `index` on."""
    return builder.load(item(builder, address, index, FLOAT, FLOATS), align=4)


def spread(builder, value):
    """The same value in all lanes."""
    empty = ir.Constant(FLOATS, ir.Undefined)
    first = ir.Constant(ir.VectorType(WHOLE, LANES), None)
    return builder.shuffle_vector(builder.insert_element(empty, value, WHOLE(0)), empty, first)
