"""All layers of a decoder in one call.

A loop that is called from Python looks at every array that it is given; a model's layers have some forty each, which
took a millisecond a pass. So they are told as a table of addresses and shapes, once for a model.
Shapes: N rows, L layers, K kinds of rotary positions, S head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import carray
from numpy.typing import NDArray

from urial.kernels.attention import LOOPS, SHARING, attend, loops_of
from urial.kernels.decoder import gate, output_and_mlp, qkv_projection
from urial.kernels.flavours import compiled
from urial.kernels.matrices import COLUMNS, Floats, Matrix
from urial.kernels.multiply import told
from urial.kernels.sharing import floats_at, task_address
from urial.kernels.simd import pointer

NUMBERS = 6  # of a layer: the first six fields
ATTENTION = NUMBERS  # where the addresses of attention's loops are,
GATE = ATTENTION + LOOPS  # the gate's task,
MATRICES = GATE + 1  # the matrices, one behind the other,
NORMS = MATRICES + 4 * COLUMNS  # and the address and length of each norm


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
    """Raises RuntimeError where a loop cannot be compiled."""
    loops = *loops_of(), task_address(gate)
    assert all(norm.flags.c_contiguous for layer in layers for norm in layer.norms)
    norms = [[n for norm in layer.norms for n in (norm.ctypes.data, len(norm))] for layer in layers]
    matrices = [np.concatenate([told(matrix) for matrix in layer.matrices]) for layer in layers]
    rows = [[*layer[:NUMBERS], *loops, *of, *at] for layer, of, at in zip(layers, matrices, norms, strict=True)]
    width = max(len(layer.matrices[0].codes) for layer in layers)
    return Table(np.array(rows, np.int64), np.array([layer.scale for layer in layers], np.float32), width)


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
        norms_in = (
            floats_at(row[NORMS], row[NORMS + 1]),
            floats_at(row[NORMS + 2], row[NORMS + 3]),
            floats_at(row[NORMS + 4], row[NORMS + 5]),
        )
        norms_out = (
            floats_at(row[NORMS + 6], row[NORMS + 7]),
            floats_at(row[NORMS + 8], row[NORMS + 9]),
            floats_at(row[NORMS + 10], row[NORMS + 11]),
        )
        of_qkv, of_output = row[MATRICES : MATRICES + COLUMNS], row[MATRICES + COLUMNS : MATRICES + 2 * COLUMNS]
        of_gate_and_up, of_down = (
            row[MATRICES + 2 * COLUMNS : MATRICES + 3 * COLUMNS],
            row[MATRICES + 3 * COLUMNS : NORMS],
        )
        loops = row[ATTENTION:GATE]
        qkv_projection(hidden, of_qkv, factors, norms_in, eps, cos[rotary], sin[rotary], groups, size, qkv)
        attend(qkv, stored, positions, number, groups, window, scales, loops, attended)
        after = (of_output, of_gate_and_up, of_down)
        output_and_mlp(hidden, attended, after, factors, norms_out, eps, activation, loops[SHARING], row[GATE])
