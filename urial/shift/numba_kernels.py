"""The compiled tasks of one row of logits, or of two models' rows: sums by groups of entries.

Each group's sums are float32 over few terms, so that small ones count; who adds up the groups does it in float64.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from urial.kernels.flavours import as_written, exactly
from urial.kernels.functions import exp, greatest_of, log
from urial.kernels.sharing import floats_at, numbers_at, room
from urial.kernels.simd import FLOAT_BYTES, pointer

GROUP = 256
FLOOR = np.finfo(np.float32).min  # stands for log 0, so that 0 * log 0 is 0 and not NaN
TINY = np.finfo(np.float32).tiny
NONE, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)  # counts too: whole ones would halve the vectors


def survey(given, g):
    """One group of a row [V]: its greatest logit, the sum of exp(logit - greatest), and how many exceed the token's.

    `found` [3, G] takes them. A logit that is NaN shows in the sum.
    """
    row_at, length, token, groups, found_at = numbers_at(given, 5)
    group, chosen = _group(row_at, length, g), floats_at(row_at, length)[token]
    most = greatest_of(group)
    from_here = max(most, FLOOR)
    total, count = NONE, NONE
    for k in range(group.shape[0]):
        total += exp(group[k] - from_here)
        count += ONE if group[k] > chosen else NONE
    found = floats_at(found_at, 3 * groups)
    found[g], found[groups + g], found[2 * groups + g] = most, total, count


@exactly
def _group(row_at, length, g):
    """One group of a row."""
    begin = g * GROUP
    return floats_at(row_at + begin * FLOAT_BYTES, min(GROUP, length - begin))


@as_written
def _log_probability(logit, norm):
    """The two parts of a norm are taken away one after the other: added up they would lose digits of large logits."""
    return max((logit - norm[0]) - norm[1], FLOOR)


def differ(given, g):
    """One group of two rows [V]: its part of KL and of twice JS, and how many entries make KL infinite.

    The norms [2, 2] are each row's greatest logit and logarithm of the sum of exp(logit - greatest); `found` [3, G]
    takes the result. With p the larger and q the smaller of two probabilities and d the distance of their logarithms,
    an entry's part of twice JS is -(p + q) log((1 + q / p) / 2) - q d: exactly nothing where both are equal, and
    nothing large that cancels.
    """
    aligned_at, base_at, length, norms_at, groups, found_at = numbers_at(given, 6)
    ours, theirs = _group(aligned_at, length, g), _group(base_at, length, g)
    aligned_norm, base_norm = floats_at(norms_at, 2), floats_at(norms_at + 2 * FLOAT_BYTES, 2)
    both, bend = floats_at(room(GROUP), GROUP), floats_at(room(GROUP), GROUP)
    one, two, count = NONE, NONE, NONE
    for k in range(ours.shape[0]):
        log_p, log_q = _log_probability(ours[k], aligned_norm), _log_probability(theirs[k], base_norm)
        p, q = exp(log_p), exp(log_q)
        less, more = min(p, q), max(p, q)
        both[k], bend[k] = p + q, (ONE + less / max(more, TINY)) * HALF
        one += p * (log_p - log_q)
        two -= less * abs(log_p - log_q)
        count += ONE if (log_q <= FLOOR) & (p > NONE) else NONE
    for k in range(ours.shape[0]):  # apart, or there would not be enough registers
        two -= both[k] * log(bend[k])
    found = floats_at(found_at, 3 * groups)
    found[g], found[groups + g], found[2 * groups + g] = one, two, count


@as_written
def _switch(ours, theirs, first, chosen):
    """The lambda at which a rival is ahead of the token, from both models' logits of either.

    Differences may be tiny, and are lost where the four are added in another order.
    """
    behind, ahead = np.float64(theirs) - np.float64(chosen), np.float64(first) - np.float64(ours)
    return behind / (behind + ahead)


def overtake(given, g):
    """One group of two rows [V]: the greatest lambda at which a rival is ahead of `token`; 0 where there is none.

    See `switch_points`; in float64. `token` is the aligned model's first choice, and possible for the base.
    """
    aligned_at, base_at, length, token, groups, switches_at = numbers_at(given, 6)
    ours, theirs = _group(aligned_at, length, g), _group(base_at, length, g)
    first, chosen = floats_at(aligned_at, length)[token], floats_at(base_at, length)[token]
    count, most = NONE, 0.0
    for k in range(ours.shape[0]):
        count += ONE if theirs[k] > chosen else NONE
    for k in range(ours.shape[0] if count > NONE else 0):
        if theirs[k] > chosen:
            most = max(most, _switch(ours[k], theirs[k], first, chosen))
    carray(pointer(switches_at), (groups,), np.float64)[g] = most
