"""The compiled search for the steps that a block of weights was once quantised in.

Strict float32 here: a step counts as found only where it gives back every weight to the last bit.
Knows arrays; nothing about models or who calls.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from urial.kernels.flavours import exactly, exactly_on_all_cores


@exactly_on_all_cores
def find_scales(weight, block, codes, scales, failed):
    """Fills codes and scales so that code times scale is the weight [out, in], and marks the rows that failed."""
    for o in prange(weight.shape[0]):
        for b in range(scales.shape[1]):
            span = slice(b * block, b * block + block)
            if not _find_scale(weight[o, span], codes[o, span], scales[o, b : b + 1]):
                failed[o] = 1
                break


@exactly
def _find_scale(values, codes, scale):
    """The smallest value may be one step, two, three...: the first number of steps that fits all values."""
    least, most = np.float32(np.inf), np.float32(0)
    for value in values:
        size = abs(value)
        most = max(most, size)
        if size > 0:
            least = min(least, size)
    scale[0] = 0
    _clear(codes)
    if most == 0:
        return True
    for steps in range(1, 128):
        step = least / np.float32(steps)
        if most > step * np.float32(127.5):
            return False
        if _fits(values, step, np.float32(0), codes):
            scale[0] = step
            return True
    return False


@exactly_on_all_cores
def find_scales_from_least(weight, block, codes, scales, offsets, failed):
    """As find_scales, with each block's least value as its offset."""
    for o in prange(weight.shape[0]):
        for b in range(scales.shape[1]):
            span = slice(b * block, b * block + block)
            if not _find_scale_from_least(weight[o, span], codes[o, span], scales[o, b : b + 1], offsets[o, b : b + 1]):
                failed[o] = 1
                break


@exactly
def _find_scale_from_least(values, codes, scale, offset):
    least = gap = np.float32(np.inf)
    most = -least
    for value in values:
        least, most = min(least, value), max(most, value)
    for value in values:
        if value > least:
            gap = min(gap, value - least)
    scale[0], offset[0] = 0, least
    _clear(codes)
    if most == least:
        return True
    for steps in range(1, 128):
        count = np.rint((most - least) / (gap / np.float32(steps)))
        if count > 127:
            return False
        step = (most - least) / np.float32(count)
        if _fits(values, step, least, codes):
            scale[0] = step
            return True
    return False


@exactly
def _clear(codes):
    for k in range(codes.shape[0]):
        codes[k] = 0


@exactly
def _fits(values, step, offset, codes):
    """Whether all values are whole steps from the offset, to the last bit; fills in the codes if so."""
    for k in range(values.shape[0]):
        code = np.rint((values[k] - offset) / step)
        if offset + step * code != values[k]:
            return False
        codes[k] = np.int8(code)
    return True
