"""All layers of a decoder in one call.

A loop that is called from Python looks at every array that it is given; a model's layers have some forty each, which
took a millisecond a pass. So they are told as a table of addresses and shapes, once for a model.
Shapes: N rows, L layers, K kinds of rotary positions, S head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray
from numpy.typing import NDArray

from urial.kernels.attention import attend
from urial.kernels.by_address import MIXTURES, SCORES, loop_address
from urial.kernels.decoder import Floats, Matrix, output_and_mlp, qkv_projection
from urial.kernels.flavours import compiled, exactly
from urial.kernels.simd import pointer

ARRAY = 4  # columns of an array: its address, and the sizes of up to three axes
WHOLE = 4  # of a matrix: its kind and the addresses of its products
MATRIX = WHOLE + ARRAY * (len(Matrix._fields) - WHOLE)  # of a matrix: these, and its arrays in order
NUMBERS = 6  # of a layer: the first six fields
SUMS = NUMBERS  # where the addresses of attention's two sums are
MATRICES, NORMS = NUMBERS + 2, NUMBERS + 2 + 4 * MATRIX  # where they begin


class Layer(NamedTuple):
    """One layer; norms are weights as they are multiplied with, [0] where there is none."""

    rotary: int  # which of the kinds
    window: int  # positions that a query looks back over, its own included
    heads: int
    groups: int
    size: int  # of a head
    activation: int
    scale: np.float32  # of attention's scores
    matrices: tuple[Matrix, Matrix, Matrix, Matrix]  # queries over keys over values, output, gate over up, down
    # Each [D] or [0], those of queries and keys as wide as a head or as all of them: before attention, of queries, of
    # keys; after attention, before the feed-forward part, after it.
    norms: tuple[Floats, Floats, Floats, Floats, Floats, Floats]


class Table(NamedTuple):
    """What `run_layers` reads. The arrays must outlive it: it has their addresses."""

    rows: NDArray[np.int64]  # [L, columns]
    scales: Floats  # [L]
    width: int  # of the widest layer's queries, keys and values


def table_of(layers: Sequence[Layer]) -> Table:
    sums_at = loop_address(SCORES), loop_address(MIXTURES)
    rows = [
        [*layer[:NUMBERS], *sums_at, *(n for matrix in layer.matrices for n in _matrix(matrix)), *_arrays(layer.norms)]
        for layer in layers
    ]
    width = max(len(layer.matrices[0].codes) for layer in layers)
    return Table(np.array(rows, np.int64), np.array([layer.scale for layer in layers], np.float32), width)


def _matrix(matrix: Matrix) -> list[int]:
    return [*matrix[:WHOLE], *_arrays(matrix[WHOLE:])]


def _arrays(arrays: Sequence[Any]) -> list[int]:
    assert all(array.flags.c_contiguous for array in arrays)
    return [n for array in arrays for n in (array.ctypes.data, *array.shape, *[0] * (ARRAY - 1 - array.ndim))]


@compiled
def run_layers(hidden, rows, scales, factors, cos, sin, stored, positions, eps, scratch):
    """Hidden states [N, D] through all layers, in place.

    `rows` and `scales` are a Table's; cos and sin are [K, N, S]; `scratch` [2, N * width] is written over; `factors`,
    `stored` and `positions` as in `output_and_mlp` and `attend`.
    """
    for number in range(rows.shape[0]):
        row, count = rows[number], hidden.shape[0]
        rotary, window, heads, groups, size, activation = row[0], row[1], row[2], row[3], row[4], row[5]
        wide, narrow = (heads + 2 * groups) * size, heads * size
        qkv = carray(pointer(scratch[0].ctypes.data), (count, wide), np.float32)
        attended = carray(pointer(scratch[1].ctypes.data), (count, narrow), np.float32)
        norms_in = (_floats(row, NORMS), _floats(row, NORMS + ARRAY), _floats(row, NORMS + 2 * ARRAY))
        norms_out = (_floats(row, NORMS + 3 * ARRAY), _floats(row, NORMS + 4 * ARRAY), _floats(row, NORMS + 5 * ARRAY))
        after = (
            _matrix_at(row, MATRICES + MATRIX),
            _matrix_at(row, MATRICES + 2 * MATRIX),
            _matrix_at(row, MATRICES + 3 * MATRIX),
        )
        of_qkv = _matrix_at(row, MATRICES)
        qkv_projection(hidden, of_qkv, factors, norms_in, eps, cos[rotary], sin[rotary], groups, size, qkv)
        attend(qkv, stored, positions, number, groups, window, scales[number], (row[SUMS], row[SUMS + 1]), attended)
        output_and_mlp(hidden, attended, after, factors, norms_out, eps, activation)


@exactly
def _floats(row, at):
    return carray(pointer(row[at]), (row[at + 1],), np.float32)


@exactly
def _table_of_floats(row, at):
    return carray(pointer(row[at]), (row[at + 1], row[at + 2]), np.float32)


@exactly
def _matrix_at(row, at):
    first = at + WHOLE
    codes = carray(pointer(row[first]), (row[first + 1], row[first + 2]), np.uint8)
    scales, offsets = _table_of_floats(row, first + ARRAY), _table_of_floats(row, first + 2 * ARRAY)
    bias, down = _floats(row, first + 3 * ARRAY), _table_of_floats(row, first + 4 * ARRAY)
    third = first + 5 * ARRAY
    up = carray(pointer(row[third]), (row[third + 1], row[third + 2], row[third + 3]), np.float32)
    bounds = carray(pointer(row[third + ARRAY]), (row[third + ARRAY + 1],), np.int64)
    return Matrix(row[at], row[at + 1], row[at + 2], row[at + 3], codes, scales, offsets, bias, down, up, bounds)
