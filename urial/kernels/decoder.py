"""The compiled loops: products with weights as they are stored, and what lies between them and attention in a decoder.

All are float32 sums, in any order; nothing is rounded to fewer bits. What a family leaves out (a norm, a bias) is an
array of no entries, so one compilation serves all families and all ways to store weights.
Shapes: R rows, D hidden size, H heads over G groups of keys, S head size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from urial.kernels.by_address import ROWS_AT_ONCE, call
from urial.kernels.flavours import any_order, compiled, compiled_for_all_cores
from urial.kernels.functions import exp
from urial.kernels.memory import empty_table
from urial.kernels.products import STEP

Floats = NDArray[np.float32]
PARTS = 4  # of one row's work, for the cores to share
TANH_SCALE = np.float32(math.sqrt(2 / math.pi))


class Matrix(NamedTuple):
    """Weights [out, in] of one way to store them, a bias, and a low-rank part."""

    kind: int  # how they are stored, for who looks at one: `by_address.IN_32` and so on
    product: int  # the address of the product for that kind
    down_product: int  # the same for `down`, and for what `up` is multiplied with; 0 for no low-rank part
    up_product: int
    codes: NDArray[np.uint8]  # [out, bytes]: steps of eight or four bits, or numbers as the checkpoint has them
    scales: Floats  # [out, blocks], what a block's steps are multiplied with; [0, 0] where weights are no steps
    offsets: Floats  # [out, blocks], added to them, or [0, 0] where all are zero
    bias: Floats  # [out] or [0]
    down: Floats  # A of each part, [parts * rank, in]; the rank is a multiple of LOW_TILE
    up: Floats  # B, [tiles of outputs, rank, TILE], zeros behind the last output; [0, 0, TILE] for none
    bounds: NDArray[np.int64]  # [parts + 1]: the outputs of each part of `down`


SILU, GELU = range(2)  # what the gate goes through
TILE = 64  # outputs that a core takes at a time
LOW_TILE = 8  # the same of the low-rank part's first half, which has few


@any_order
def _dot(one, two):
    total = np.float32(0)
    for k in range(one.shape[0]):
        total += one[k] * two[k]
    return total


@compiled
def multiply(matrix, x, factors, out):
    """x [R, in] times a Matrix into out [R, out], plus its bias and the low-rank part times each row's factor [R]."""
    rank, count = matrix.up.shape[1], 0
    chosen = np.empty(factors.shape[0], np.int64)
    for r in range(factors.shape[0] if rank > 0 else 0):
        if factors[r] != 0:
            chosen[count] = r
            count += 1
    parts = matrix.down.shape[0] // rank if count > 0 else 0
    low = np.empty((parts, count, rank), np.float32)
    if parts > 0:
        given = empty_table(count, x.shape[1])
        for r in range(count):
            copy(x[chosen[r]], given[r])
        _multiply_down(matrix, given, chosen, factors, low)
    _multiply(matrix, x, chosen, low, out)


@compiled_for_all_cores
def _multiply_down(matrix, x, chosen, factors, low):
    """x [L, in] A^T of each part into low [parts, L, rank], each times its factor: of all rows, those are `chosen`."""
    down, rows, rank, steps = matrix.down, low.shape[1], low.shape[2], x.shape[1] // STEP
    for tile in prange(down.shape[0] // LOW_TILE):
        part, begin = tile * LOW_TILE // rank, tile * LOW_TILE % rank
        weights = down[tile * LOW_TILE :].ctypes.data
        for first in range(0, rows, ROWS_AT_ONCE):
            given, into = x[first:].ctypes.data, low[part, first:, begin:].ctypes.data
            count = min(ROWS_AT_ONCE, rows - first)
            call(matrix.down_product, (weights, weights, weights, given, into, LOW_TILE, steps, count, rank))
        for r in range(rows):
            for j in range(begin, begin + LOW_TILE):
                low[part, r, j] *= factors[chosen[r]]


@compiled_for_all_cores
def _multiply(matrix, x, chosen, low, out):
    """The product, and for the chosen rows [L] the low-rank part from low [parts, L, rank]."""
    outputs, rows = matrix.codes.shape[0], x.shape[0]
    for tile in prange((outputs + TILE - 1) // TILE):
        begin, end = tile * TILE, min(tile * TILE + TILE, outputs)
        for first in range(0, rows, ROWS_AT_ONCE):
            _fill(matrix, x, first, min(ROWS_AT_ONCE, rows - first), begin, end, out)
        for r in range(rows if matrix.bias.shape[0] > 0 else 0):
            add(out[r, begin:end], np.float32(1), matrix.bias[begin:end])
        for part in range(low.shape[0]):
            first, last = max(begin, matrix.bounds[part]), min(end, matrix.bounds[part + 1])
            if first < last:
                _add_low(matrix, tile, low[part], chosen, first - begin, last - begin, out[:, begin:])


@any_order
def _add_low(matrix, tile, low, chosen, first, last, out):
    """low [L, rank] times a tile of B [rank, TILE]; its outputs first..last are added to chosen rows of out [R, .]."""
    up, (rows, rank) = matrix.up[tile].ctypes.data, low.shape
    sums = empty_table(ROWS_AT_ONCE, TILE)
    for begin in range(0, rows, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, rows - begin)
        sums[:] = 0
        call(matrix.up_product, (up, low[begin:].ctypes.data, sums.ctypes.data, rank, TILE, count, rank))
        for r in range(count):
            add(out[chosen[begin + r], first:last], np.float32(1), sums[r, first:last])


@any_order
def _fill(matrix, x, first, count, begin, end, out):
    """`count` rows from `first` on times outputs begin..end, without the low-rank part."""
    held, scales, offsets = matrix.codes[begin:end], matrix.scales[begin:end], matrix.offsets[begin:end]
    blocks = scales.shape[1] if scales.shape[1] > 0 else x.shape[1] // STEP
    outputs, stride = end - begin, out.shape[1]
    number, scale, offset = held.ctypes.data, scales.ctypes.data, offsets.ctypes.data
    given, into = x[first:].ctypes.data, out[first:, begin:].ctypes.data
    call(matrix.product, (number, scale, offset, given, into, outputs, blocks, count, stride))


@any_order
def _normed(x, weight, eps, out):
    """RMS norm of a vector, times its weight."""
    scale = np.float32(1) / np.sqrt(_dot(x, x) / np.float32(x.shape[0]) + eps)
    for k in range(x.shape[0]):
        out[k] = x[k] * scale * weight[k]


@compiled
def norm(hidden, weight, eps):
    """The last norm of R hidden states [R, D], in place."""
    for r in range(hidden.shape[0]):
        _normed(hidden[r], weight, eps, hidden[r])


@any_order
def _apply_rotary(x, cos, sin):
    """Rotary positions, in place: the halves of x [S] turn against each other."""
    half = x.shape[0] // 2
    for k in range(half):
        one, two = x[k], x[k + half]
        x[k] = one * cos[k] - two * sin[k]
        x[k + half] = two * cos[k + half] + one * sin[k + half]


@any_order
def qkv_projection(hidden, matrix, factors, norms, eps, cos, sin, groups, size, out):
    """Queries, keys and values of R hidden states [R, D], normed and turned, into out [R, (H + 2 G) S].

    `norms` are the weights before the product [D], of queries and of keys; these are over a head [S] or over all of
    them [H S], [G S]. Any may be [0], for none. cos and sin are [R, S].
    """
    before, of_queries, of_keys = norms
    x = hidden
    if before.shape[0] > 0:
        x = empty_table(*hidden.shape)
        for r in range(hidden.shape[0]):
            _normed(hidden[r], before, eps, x[r])
    multiply(matrix, x, factors, out)
    heads = out.shape[1] // size - 2 * groups
    for r in range(hidden.shape[0]):
        _norm_parts(out[r, : heads * size], of_queries, eps)
        _norm_parts(out[r, heads * size : (heads + groups) * size], of_keys, eps)
        for h in range(heads + groups):
            _apply_rotary(out[r, h * size : h * size + size], cos[r], sin[r])


@any_order
def _norm_parts(x, weight, eps):
    """RMS norm in place of each part of x that is as long as the weight; none where the weight is [0]."""
    width = weight.shape[0]
    for begin in range(0, x.shape[0] if width > 0 else 0, max(width, 1)):
        part = x[begin : begin + width]
        _normed(part, weight, eps, part)


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


@any_order
def output_and_mlp(hidden, attended, matrices, factors, norms, eps, activation):
    """The rest of the layer, in place: hidden [R, D] after attention's result attended [R, H S].

    `matrices` are those of attention's output, of gate over up, and of down; `norms`, each [D] or [0] for none, come
    after attention, before the feed-forward part and after it; `activation` is SILU or GELU.
    """
    of_output, of_gate_and_up, of_down = matrices
    after_attention, before_forward, after_forward = norms
    rows = hidden.shape[0]
    x, inner = empty_table(*hidden.shape), empty_table(rows, of_gate_and_up.codes.shape[0])
    gated = empty_table(rows, inner.shape[1] // 2)
    multiply(of_output, attended, factors, x)
    for r in range(rows):
        _add_normed(x[r], after_attention, eps, hidden[r])
        copy(hidden[r], x[r])
        _norm_parts(x[r], before_forward, eps)
    multiply(of_gate_and_up, x, factors, inner)
    _gate(inner, activation, gated)
    multiply(of_down, gated, factors, x)
    for r in range(rows):
        _add_normed(x[r], after_forward, eps, hidden[r])


@any_order
def _add_normed(x, weight, eps, hidden):
    """x [D], normed in place where the weight is not [0], added to hidden [D]."""
    _norm_parts(x, weight, eps)
    for k in range(x.shape[0]):
        hidden[k] += x[k]


@compiled_for_all_cores
def _gate(inner, activation, gated):
    """The activated gate times up, from both side by side [R, 2 F], into gated [R, F]."""
    rows, size = inner.shape[0], inner.shape[1] // 2
    for item in prange(rows * PARTS):
        part, r = item // rows, item % rows
        begin, end = part * size // PARTS, (part + 1) * size // PARTS
        if activation == GELU:
            _gelu_gated(inner[r, begin:end], inner[r, size + begin : size + end], gated[r, begin:end])
        else:
            _silu_gated(inner[r, begin:end], inner[r, size + begin : size + end], gated[r, begin:end])


@any_order
def _gelu_gated(gate, up, gated):
    """gelu by tanh, as in training; (1 + tanh x) / 2 is 1 / (1 + exp(-2 x))."""
    for k in range(gate.shape[0]):
        bend = TANH_SCALE * (gate[k] + np.float32(0.044715) * gate[k] * gate[k] * gate[k])
        gated[k] = gate[k] * up[k] / (np.float32(1) + exp(np.float32(-2) * bend))


@any_order
def _silu_gated(gate, up, gated):
    for k in range(gate.shape[0]):
        gated[k] = gate[k] * up[k] / (np.float32(1) + exp(-gate[k]))
