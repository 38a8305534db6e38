"""Attention of a few queries over the keys and values of their own answers, as compiled loops.

Shapes: R rows, H heads over G groups of keys, S head size, C room for positions.
"""

from __future__ import annotations

import numpy as np
from numba import carray, prange

from urial.kernels.decoder import PARTS, ROWS_AT_ONCE, add
from urial.kernels.flavours import any_order, compiled_for_all_cores, exactly
from urial.kernels.functions import exp, greatest_of
from urial.kernels.simd import mixtures_of, pointer, scores_of

_scores = scores_of(ROWS_AT_ONCE)
_mixtures = mixtures_of(ROWS_AT_ONCE)


@any_order
def attend(qkv, stored, positions, layer, groups, window, scale, attended):
    """Each of R queries [R, (H + 2 G) S], with its own key and value, over the last `window` positions of its text.

    The new keys and values go to their positions [R]: stored [R, layers, 3] has the addresses of a sequence's keys and
    values [G, C, S] and the room C. attended [R, H S] takes the result.
    """
    rows, size = qkv.shape[0], (qkv.shape[1] - attended.shape[1]) // (2 * groups)
    heads = attended.shape[1] // size
    for r in range(rows):
        keys, values = _stored(stored[r, layer], groups, size)
        for g in range(groups):
            for k in range(size):
                keys[g, positions[r], k] = qkv[r, (heads + g) * size + k]
                values[g, positions[r], k] = qkv[r, (heads + groups + g) * size + k]
    peaks, totals = np.empty((rows, PARTS, heads), np.float32), np.empty((rows, PARTS, heads), np.float32)
    sums = np.empty((rows, PARTS, heads * size), np.float32)
    _attend_by_parts(qkv, stored, positions, layer, groups, window, scale, peaks, totals, sums)
    for r in range(rows):
        _join(peaks[r], totals[r], sums[r], attended[r])


@exactly
def _stored(place, groups, size):
    """One answer's keys and values [G, C, S] of a layer."""
    shape = (groups, place[2], size)
    return carray(pointer(place[0]), shape, np.float32), carray(pointer(place[1]), shape, np.float32)


@compiled_for_all_cores
def _attend_by_parts(qkv, stored, positions, layer, groups, window, scale, peaks, totals, sums):
    """For each part of the positions: each head's greatest score, and relative to it the sums of weights and values."""
    rows, heads = qkv.shape[0], totals.shape[2]
    size = sums.shape[2] // heads
    for item in prange(rows * PARTS):
        part, r = item // rows, item % rows
        keys, values = _stored(stored[r, layer], groups, size)
        end = positions[r] + 1
        start = max(0, end - window)
        first = start + part * (end - start) // PARTS
        last = start + (part + 1) * (end - start) // PARTS
        weights = np.empty((heads, last - first), np.float32)
        _weigh(qkv[r], keys[:, first:last], values[:, first:last], weights)
        for h in range(heads):
            peaks[r, part, h], totals[r, part, h] = _exponentials(weights[h], scale)
        _mix(weights, values[:, first:last], sums[r, part])


@exactly
def _weigh(query, keys, values, scores):
    """Scores [H, T] of one query [at least H S] with keys [G, T, S]."""
    groups, length, size = keys.shape
    shared, stride = scores.shape[0] // groups, scores.shape[1]
    for g in range(groups):
        for first in range(0, shared, ROWS_AT_ONCE):
            h, count = g * shared + first, min(ROWS_AT_ONCE, shared - first)
            queries, into = query[h * size :].ctypes.data, scores[h:].ctypes.data
            _scores(keys[g].ctypes.data, values[g].ctypes.data, queries, into, length, size, count, stride)


@any_order
def _exponentials(scores, scale):
    """Of scores times their scale, in place, relative to the greatest; returns it, and their sum."""
    total = np.float32(0)
    for t in range(scores.shape[0]):
        scores[t] *= scale
    greatest = greatest_of(scores)
    for t in range(scores.shape[0]):
        scores[t] = exp(scores[t] - greatest)
        total += scores[t]
    return greatest, total


@exactly
def _mix(weights, values, sums):
    """Values [G, T, S] times weights [H, T], added up in sums [H S]."""
    groups, length, size = values.shape
    shared = weights.shape[0] // groups
    for g in range(groups):
        given = values[g].ctypes.data
        for first in range(0, shared, ROWS_AT_ONCE):
            h, count = g * shared + first, min(ROWS_AT_ONCE, shared - first)
            weight, into = weights[h:].ctypes.data, sums[h * size :].ctypes.data
            _mixtures(given, weight, into, length, size, count, length)


@any_order
def _join(peaks, totals, sums, attended):
    """One query's softmax over all parts: attended [H S] from peaks and totals [PARTS, H] and sums [PARTS, H S]."""
    heads = peaks.shape[1]
    size = attended.shape[0] // heads
    for h in range(heads):
        greatest, total = peaks[0, h], np.float32(0)
        for part in range(PARTS):
            greatest = max(greatest, peaks[part, h])
        for part in range(PARTS):
            total += totals[part, h] * exp(peaks[part, h] - greatest)
        into = attended[h * size : h * size + size]
        for k in range(size):
            into[k] = 0
        for part in range(PARTS):
            add(into, exp(peaks[part, h] - greatest) / total, sums[part, h * size : h * size + size])
