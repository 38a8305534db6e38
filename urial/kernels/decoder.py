"""The compiled loops of what lies around attention in a decoder.

All are float32 sums, in any order; nothing is rounded to fewer bits. What a family leaves out (a norm, a bias) is an
array of no entries, so one compilation serves all families and all ways to store weights.
Shapes: R rows, D hidden size, H heads over G groups of keys, S head size.
"""

from __future__ import annotations

import math

import numpy as np

from urial.kernels.flavours import any_order, compiled
from urial.kernels.functions import exp
from urial.kernels.matrices import OUTPUTS
from urial.kernels.memory import empty_table
from urial.kernels.multiply import copy, multiply
from urial.kernels.sharing import floats_at, numbers_at, shared_out
from urial.kernels.simd import FLOAT_BYTES

SILU, GELU = range(2)  # what the gate goes through
SHARES = 4  # of one row's work, for the cores
TANH_SCALE = np.float32(math.sqrt(2 / math.pi))


@any_order
def _dot(one, two):
    total = np.float32(0)
    for k in range(one.shape[0]):
        total += one[k] * two[k]
    return total


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
def output_and_mlp(hidden, attended, matrices, factors, norms, eps, activation, sharing, gate_at):
    """The rest of the layer, in place: hidden [R, D] after attention's result attended [R, H S].

    `matrices` are those of attention's output, of gate over up, and of down; `norms`, each [D] or [0] for none, come
    after attention, before the feed-forward part and after it; `activation` is SILU or GELU; `sharing` and `gate_at`
    are the addresses of `sharing.for_all` and of `gate`.
    """
    of_output, of_gate_and_up, of_down = matrices
    after_attention, before_forward, after_forward = norms
    rows = hidden.shape[0]
    x, inner = empty_table(*hidden.shape), empty_table(rows, of_gate_and_up[OUTPUTS])
    gated = empty_table(rows, inner.shape[1] // 2)
    multiply(of_output, attended, factors, x)
    for r in range(rows):
        _add_normed(x[r], after_attention, eps, hidden[r])
        copy(hidden[r], x[r])
        _norm_parts(x[r], before_forward, eps)
    multiply(of_gate_and_up, x, factors, inner)
    shared_out(sharing, gate_at, rows * SHARES, (inner, rows, gated.shape[1], activation, gated))
    multiply(of_down, gated, factors, x)
    for r in range(rows):
        _add_normed(x[r], after_forward, eps, hidden[r])


@any_order
def _add_normed(x, weight, eps, hidden):
    """x [D], normed in place where the weight is not [0], added to hidden [D]."""
    _norm_parts(x, weight, eps)
    for k in range(x.shape[0]):
        hidden[k] += x[k]


def gate(given, item):
    """A task: a part of a row of the activated gate times up, both side by side [R, 2 F], into gated [R, F]."""
    inner_at, rows, size, activation, gated_at = numbers_at(given, 5)
    part, r = item // rows, item % rows
    begin = part * size // SHARES
    count = (part + 1) * size // SHARES - begin
    gate_at, into = inner_at + (2 * r * size + begin) * FLOAT_BYTES, gated_at + (r * size + begin) * FLOAT_BYTES
    gates, ups, gated = (
        floats_at(gate_at, count),
        floats_at(gate_at + size * FLOAT_BYTES, count),
        floats_at(into, count),
    )
    if activation == GELU:
        _gelu_gated(gates, ups, gated)
    else:
        _silu_gated(gates, ups, gated)


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
