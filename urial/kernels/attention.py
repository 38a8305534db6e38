"""Attention of a few queries over the keys and values of their own sequences, as compiled loops.

Positions go in blocks. Sequences that begin with the same text have its keys and values in one place, so a core takes a
block for all rows before the next one: what they share comes from memory once.
Shapes: R rows, H heads over G groups of keys, S head size.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from urial.kernels.by_address import MIXTURES, ROWS_AT_ONCE, SCORES, call, loop_address
from urial.kernels.flavours import any_order, compiled, exactly
from urial.kernels.functions import exp, greatest_of
from urial.kernels.memory import empty_table
from urial.kernels.multiply import add
from urial.kernels.sharing import floats_at, integers_at, numbers_at, shared_out, sharing_address, task_address
from urial.kernels.simd import FLOAT_BYTES, pointer

BLOCK = 128  # positions; a row's sums are made block by block, wherever the blocks lie and whoever else reads them
SPANS = 3  # pieces of memory that a sequence may lie in
ADDRESS, FIRST_BLOCK, BEGIN = range(3)  # columns of a span: where its blocks lie, which one is first, first position
COLUMNS = 3
SHARES = 16  # of the work, for the cores
SHARING, TASK, SCORES_AT, MIXTURES_AT = range(4)  # which loop lies at which of `loops_of`
LOOPS = 4


def loops_of() -> tuple[int, ...]:
    """The addresses of the loops that `attend` calls. Raises RuntimeError where one cannot be compiled."""
    return sharing_address(), task_address(attend_by_blocks), loop_address(SCORES), loop_address(MIXTURES)


@compiled
def attend(qkv, stored, positions, layer, groups, window, scales, loops, attended):
    """Each of R queries [R, (H + 2 G) S], with its own key and value, over the last `window` positions of its text.

    The new keys and values go to their positions [R]. stored [R, layers, SPANS, 3] has the spans of each sequence in
    order, its own last; a span's blocks are [2, G, BLOCK, S], keys before values, and it ends where the next begins.
    `scales` [layers] are multiplied with scores, `loops` has the addresses of `loops_of`; attended [R, H S] takes the
    result.
    """
    rows, size = qkv.shape[0], (qkv.shape[1] - attended.shape[1]) // (2 * groups)
    heads = attended.shape[1] // size
    first, last = positions[0], np.int64(0)
    for r in range(rows):
        _store(qkv[r, heads * size :], stored[r, layer, SPANS - 1], positions[r], groups, size)
        first = min(first, max(0, positions[r] + 1 - window) // BLOCK)
        last = max(last, positions[r] // BLOCK)
    blocks = last + 1 - first
    peaks, totals = np.empty((rows, blocks, heads), np.float32), np.empty((rows, blocks, heads), np.float32)
    sums = empty_table(rows * blocks, heads * size).reshape((rows, blocks, heads * size))
    shares = _shares(positions, window, first, blocks)
    sizes = (rows, heads, groups, size, stored.shape[1], layer, window, first, blocks)
    arrays = (loops, qkv, stored, positions, scales, shares, peaks, totals, sums)
    shared_out(loops[SHARING], loops[TASK], SHARES, sizes + arrays)
    for r in range(rows):  # a moment's work
        start, stop = max(0, positions[r] + 1 - window) // BLOCK - first, positions[r] // BLOCK + 1 - first
        _join(peaks[r, start:stop], totals[r, start:stop], sums[r, start:stop], attended[r])


@exactly
def _store(key_and_value, span, position, groups, size):
    """One position's new key and value [2 G S]."""
    place = _block_in(span, position // BLOCK, groups, size) + position % BLOCK * size * FLOAT_BYTES
    for part in range(2 * groups):
        into = floats_at(place + part * BLOCK * size * FLOAT_BYTES, size)
        for k in range(size):
            into[k] = key_and_value[part * size + k]


@exactly
def _block_in(span, block, groups, size):
    """Where a block's keys and values [2, G, BLOCK, S] lie in one span of a layer."""
    return span[ADDRESS] + (block - span[FIRST_BLOCK]) * (2 * groups * BLOCK * size * FLOAT_BYTES)


@exactly
def _reach(position, window, block):
    """The positions of a block that a query looks at, as where they begin and end; none where they end before."""
    return max(block * BLOCK, position + 1 - window), min(block * BLOCK + BLOCK, position + 1)


@exactly
def _shares(positions, window, first, blocks):
    """Which items each share begins with [SHARES + 1], an item being a block and a row: equally many positions."""
    rows, total, done, share = positions.shape[0], 0, 0, 1
    for item in range(blocks * rows):
        begin, end = _reach(positions[item % rows], window, first + item // rows)
        total += max(0, end - begin)
    shares = np.full(SHARES + 1, blocks * rows)
    shares[0] = 0
    for item in range(blocks * rows):
        begin, end = _reach(positions[item % rows], window, first + item // rows)
        length = max(0, end - begin)
        while share < SHARES and (2 * done + length) * SHARES >= 2 * total * share:
            shares[share] = item
            share += 1
        done += length
    return shares


def attend_by_blocks(given, share):
    """A task: for each of its blocks of a row, the head's greatest scores, and relative to these the sums of weights
    and of values."""
    numbers = numbers_at(given, 18)
    rows, heads, groups, size, layers, layer, window, first, blocks = numbers[:9]
    loops_at, qkv_at, stored_at, positions_at, scales_at, shares_at, peaks_at, totals_at, sums_at = numbers[9:]
    loops, shares, positions = (
        numbers_at(loops_at, LOOPS),
        integers_at(shares_at, SHARES + 1),
        integers_at(positions_at, rows),
    )
    scale, width = floats_at(scales_at, layer + 1)[layer], heads * size
    for item in range(shares[share], shares[share + 1]):
        block, r = item // rows, item % rows
        begin, end = _reach(positions[r], window, first + block)
        if begin < end:
            weights = np.empty((heads, end - begin), np.float32)
            place = r * blocks + block
            spans = carray(pointer(stored_at + (r * layers + layer) * SPANS * COLUMNS * 8), (SPANS, COLUMNS), np.int64)
            query_at = qkv_at + r * (width + 2 * groups * size) * FLOAT_BYTES
            _weigh(loops[SCORES_AT], query_at, spans, first + block, begin, groups, size, weights)
            peaks = floats_at(peaks_at + place * heads * FLOAT_BYTES, heads)
            totals = floats_at(totals_at + place * heads * FLOAT_BYTES, heads)
            for h in range(heads):
                peaks[h], totals[h] = _exponentials(weights[h], scale)
            sums = floats_at(sums_at + place * width * FLOAT_BYTES, width)
            _mix(loops[MIXTURES_AT], weights, spans, first + block, begin, groups, sums)


@exactly
def _within(spans, number, begin, end):
    """The part of some positions that lies in a span."""
    stop = spans[number + 1, BEGIN] if number + 1 < SPANS else end
    return max(begin, spans[number, BEGIN]), min(end, stop)


@exactly
def _weigh(scores_at, query_at, spans, block, begin, groups, size, scores):
    """Scores [H, T] of one query with the keys of T positions of a block, from `begin` on."""
    shared, length, whole = scores.shape[0] // groups, scores.shape[1], BLOCK * size * FLOAT_BYTES
    for number in range(SPANS):
        start, stop = _within(spans, number, begin, begin + length)
        if start < stop:
            held = _block_in(spans[number], block, groups, size) + (start - block * BLOCK) * size * FLOAT_BYTES
            into = scores.ctypes.data + (start - begin) * FLOAT_BYTES
            for g in range(groups):
                keys, values = held + g * whole, held + (groups + g) * whole
                for first in range(0, shared, ROWS_AT_ONCE):
                    h, count = g * shared + first, min(ROWS_AT_ONCE, shared - first)
                    queries, found = query_at + h * size * FLOAT_BYTES, into + h * length * FLOAT_BYTES
                    call(scores_at, (keys, values, queries, found, stop - start, size, count, length))


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
def _mix(mixtures_at, weights, spans, block, begin, groups, sums):
    """The values of T positions of a block, from `begin` on, times weights [H, T], in sums [H S]."""
    heads, length = weights.shape
    shared, size = heads // groups, sums.shape[0] // heads
    sums[:] = 0
    for number in range(SPANS):
        start, stop = _within(spans, number, begin, begin + length)
        if start < stop:
            held = _block_in(spans[number], block, groups, size) + (start - block * BLOCK) * size * FLOAT_BYTES
            given = weights.ctypes.data + (start - begin) * FLOAT_BYTES
            for g in range(groups):
                values = held + (groups + g) * BLOCK * size * FLOAT_BYTES
                for first in range(0, shared, ROWS_AT_ONCE):
                    h, count = g * shared + first, min(ROWS_AT_ONCE, shared - first)
                    weight, into = given + h * length * FLOAT_BYTES, sums.ctypes.data + h * size * FLOAT_BYTES
                    call(mixtures_at, (values, weight, into, stop - start, size, count, length))


@any_order
def _join(peaks, totals, sums, attended):
    """One query's softmax over B blocks: attended [H S] from peaks and totals [B, H] and sums [B, H S]."""
    blocks, heads = peaks.shape
    size = attended.shape[0] // heads
    for h in range(heads):
        greatest, total = peaks[0, h], np.float32(0)
        for block in range(1, blocks):
            greatest = max(greatest, peaks[block, h])
        for block in range(blocks):
            total += totals[block, h] * exp(peaks[block, h] - greatest)
        into = attended[h * size : h * size + size]
        into[:] = 0
        for block in range(blocks):
            add(into, exp(peaks[block, h] - greatest) / total, sums[block, h * size : h * size + size])
