"""Products with a matrix as it is stored, its bias and its low-rank part, shared out among the cores.

Shapes: R rows, L of them with a low-rank part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from urial.kernels.by_address import FLOAT32, MIXTURES, ROWS_AT_ONCE, call, loop_address
from urial.kernels.flavours import any_order, compiled
from urial.kernels.matrices import (
    BIAS,
    BLOCKS,
    BOUNDS,
    BYTES,
    CODES,
    COLUMNS,
    DOWN,
    DOWN_PRODUCT,
    LOW_TASK,
    LOW_TILE,
    OFFSETS,
    OUTPUTS,
    PARTS,
    PRODUCT,
    RANK,
    SCALES,
    SHARING,
    TASK,
    TILE,
    UP,
    UP_PRODUCT,
    Matrix,
)
from urial.kernels.memory import empty_table
from urial.kernels.products import STEP
from urial.kernels.sharing import floats_at, integers_at, numbers_at, room, shared_out, sharing_address, task_address
from urial.kernels.simd import FLOAT_BYTES

SUMS = ROWS_AT_ONCE * TILE  # of the low-rank part of a tile


def told(matrix: Matrix) -> NDArray[np.int64]:
    """A matrix for `multiply`, whose arrays must outlive it: it has their addresses.

    Raises RuntimeError where a loop cannot be compiled.
    """
    assert all(array.flags.c_contiguous for array in matrix[1:])
    parts = len(matrix.bounds) - 1 if len(matrix.down) else 0
    low = (task_address(multiply_down), loop_address(FLOAT32), loop_address(MIXTURES)) if parts else (0, 0, 0)
    loops = sharing_address(), task_address(multiply_tile), low[0], loop_address(matrix.kind), *low[1:]
    sizes = *matrix.codes.shape, matrix.scales.shape[1], parts, matrix.up.shape[1]
    addresses = [array.ctypes.data if array.size else 0 for array in matrix[1:]]
    return np.array([*loops, *sizes, *addresses], np.int64)


@compiled
def multiply(matrix, x, factors, out):
    """x [R, in] times a matrix, as it is `told`, into out [R, out], with the low-rank part times each row's factor [R].

    A row whose factor is 0 has no low-rank part.
    """
    parts, rank, count = matrix[PARTS], matrix[RANK], 0
    chosen = np.empty(factors.shape[0], np.int64)
    for r in range(factors.shape[0] if parts > 0 else 0):
        if factors[r] != 0:
            chosen[count] = r
            count += 1
    parts = parts if count > 0 else 0
    low = np.empty(parts * count * rank, np.float32)
    if parts > 0:
        given = empty_table(count, x.shape[1])
        for r in range(count):
            copy(x[chosen[r]], given[r])
        tiles = parts * rank // LOW_TILE
        shared_out(matrix[SHARING], matrix[LOW_TASK], tiles, (matrix, given, x.shape[1], chosen, count, factors, low))
    tiles = (matrix[OUTPUTS] + TILE - 1) // TILE
    given_rows = (matrix, x, x.shape[0], x.shape[1], chosen, count, low, parts, out)
    shared_out(matrix[SHARING], matrix[TASK], tiles, given_rows)


def multiply_down(given, tile):
    """A task: some outputs of x [L, in] A^T into low [parts, L, rank], each times its row's factor."""
    matrix_at, x_at, inputs, chosen_at, rows, factors_at, low_at = numbers_at(given, 7)
    matrix = numbers_at(matrix_at, COLUMNS)
    rank, steps = matrix[RANK], inputs // STEP
    part, begin = tile * LOW_TILE // rank, tile * LOW_TILE % rank
    weights = matrix[DOWN] + tile * LOW_TILE * inputs * FLOAT_BYTES
    low_at += (part * rows * rank + begin) * FLOAT_BYTES
    for first in range(0, rows, ROWS_AT_ONCE):
        given_at, into = x_at + first * inputs * FLOAT_BYTES, low_at + first * rank * FLOAT_BYTES
        count = min(ROWS_AT_ONCE, rows - first)
        call(matrix[DOWN_PRODUCT], (weights, weights, weights, given_at, into, LOW_TILE, steps, count, rank))
    chosen = integers_at(chosen_at, rows)
    for r in range(rows):
        factor = floats_at(factors_at, chosen[r] + 1)[chosen[r]]
        low = floats_at(low_at + r * rank * FLOAT_BYTES, rank - begin)
        for j in range(LOW_TILE):
            low[j] *= factor


def multiply_tile(given, tile):
    """A task: a tile of outputs for all rows, and for the chosen ones [L] the low-rank part of low [parts, L, rank]."""
    matrix_at, x_at, rows, inputs, chosen_at, count, low_at, parts, out_at = numbers_at(given, 9)
    matrix = numbers_at(matrix_at, COLUMNS)
    outputs, begin = matrix[OUTPUTS], tile * TILE
    end = min(begin + TILE, outputs)
    out_at += begin * FLOAT_BYTES
    _fill(matrix, x_at, rows, inputs, begin, end - begin, out_at)
    if matrix[BIAS] != 0:
        for r in range(rows):
            into = floats_at(out_at + r * outputs * FLOAT_BYTES, end - begin)
            add(into, np.float32(1), floats_at(matrix[BIAS] + begin * FLOAT_BYTES, end - begin))
    for part in range(parts):
        bounds = integers_at(matrix[BOUNDS], parts + 1)
        first, last = max(begin, bounds[part]) - begin, min(end, bounds[part + 1]) - begin
        if first < last:
            rank = matrix[RANK]
            chosen = integers_at(chosen_at, count)
            up_at = matrix[UP] + tile * rank * TILE * FLOAT_BYTES
            _add_low(matrix, up_at, low_at + part * count * rank * FLOAT_BYTES, chosen, first, last, out_at)


@any_order
def _fill(matrix, x_at, rows, inputs, begin, count, out_at):
    """All rows times `count` outputs from `begin` on, without the low-rank part."""
    codes, blocks = matrix[CODES] + begin * matrix[BYTES], matrix[BLOCKS]
    scales = matrix[SCALES] + begin * blocks * FLOAT_BYTES
    offsets = matrix[OFFSETS] + begin * blocks * FLOAT_BYTES
    steps = blocks if blocks > 0 else inputs // STEP
    for first in range(0, rows, ROWS_AT_ONCE):
        x, into = x_at + first * inputs * FLOAT_BYTES, out_at + first * matrix[OUTPUTS] * FLOAT_BYTES
        taken = min(ROWS_AT_ONCE, rows - first)
        call(matrix[PRODUCT], (codes, scales, offsets, x, into, count, steps, taken, matrix[OUTPUTS]))


@any_order
def _add_low(matrix, up_at, low_at, chosen, first, last, out_at):
    """low [L, rank] times a tile of B [rank, TILE]; its outputs first..last are added to chosen rows of out [R, .]."""
    rank, rows, sums_at = matrix[RANK], chosen.shape[0], room(SUMS)
    for begin in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - begin)
        sums = floats_at(sums_at, count * TILE)
        sums[:] = 0
        call(matrix[UP_PRODUCT], (up_at, low_at + begin * rank * FLOAT_BYTES, sums_at, rank, TILE, count, rank))
        for r in range(count):
            into = floats_at(out_at + chosen[begin + r] * matrix[OUTPUTS] * FLOAT_BYTES, last)
            add(into[first:], np.float32(1), sums[r * TILE + first : r * TILE + last])


@any_order
def copy(values, into):
    """To assign an array, numba compiles the text of an error too, which takes two seconds."""
    for k in range(values.shape[0]):
        into[k] = values[k]


@any_order
def add(sums, weight, values):
    """Weight times values, added to sums."""
    for k in range(values.shape[0]):
        sums[k] += weight * values[k]
