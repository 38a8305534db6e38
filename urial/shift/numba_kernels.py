"""The compiled loops over one row of logits, or over two models' rows: sums by groups of entries.

Each group's sums are float32 over few terms, so that small ones count; who adds up the groups does it in float64.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from urial.kernels.flavours import as_written, compiled_for_all_cores
from urial.kernels.functions import exp, greatest_of, log

GROUP = 256
FLOOR = np.finfo(np.float32).min  # stands for log 0, so that 0 * log 0 is 0 and not NaN
TINY = np.finfo(np.float32).tiny
NONE, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)  # counts too: whole ones would halve the vectors


@compiled_for_all_cores
def survey(row, chosen, greatest, sums, above):
    """For each group of a row [V]: its greatest logit, the sum of exp(logit - greatest), and how many exceed `chosen`.

    `greatest`, `sums` and `above` [G] take the result. A logit that is NaN shows in the sum.
    """
    for g in prange(greatest.shape[0]):
        group = row[g * GROUP : min(g * GROUP + GROUP, row.shape[0])]
        most = greatest_of(group)
        from_here = max(most, FLOOR)
        total, count = NONE, NONE
        for k in range(group.shape[0]):
            total += exp(group[k] - from_here)
            count += ONE if group[k] > chosen else NONE
        greatest[g], sums[g], above[g] = most, total, count


@as_written
def _log_probability(logit, norm):
    """The two parts of a norm are taken away one after the other: added up they would lose digits of large logits."""
    return max((logit - norm[0]) - norm[1], FLOOR)


@compiled_for_all_cores
def differ(aligned, base, aligned_norm, base_norm, kl, js, excluded):
    """For each group of two rows [V]: its part of KL and of twice JS, and how many entries make KL infinite.

    Norms are a row's greatest logit and the logarithm of the sum of exp(logit - greatest) [2]. With p the larger and
    q the smaller of two probabilities and d the distance of their logarithms, an entry's part of twice JS is
    -(p + q) log((1 + q / p) / 2) - q d: exactly nothing where both are equal, and nothing large that cancels.
    """
    for g in prange(kl.shape[0]):
        begin, end = g * GROUP, min(g * GROUP + GROUP, aligned.shape[0])
        ours, theirs = aligned[begin:end], base[begin:end]
        both, bend = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
        one, two, count = NONE, NONE, NONE
        for k in range(end - begin):
            log_p, log_q = _log_probability(ours[k], aligned_norm), _log_probability(theirs[k], base_norm)
            p, q = exp(log_p), exp(log_q)
            less, more = min(p, q), max(p, q)
            both[k], bend[k] = p + q, (ONE + less / max(more, TINY)) * HALF
            one += p * (log_p - log_q)
            two -= less * abs(log_p - log_q)
            count += ONE if (log_q <= FLOOR) & (p > NONE) else NONE
        for k in range(end - begin):  # apart, or there would not be enough registers
            two -= both[k] * log(bend[k])
        kl[g], js[g], excluded[g] = one, two, count


@compiled_for_all_cores
def overtake(aligned, base, token, switches):
    """For each group of two rows [V]: the greatest lambda at which a rival is ahead of `token`; 0 where there is none.

    See `switch_points`; in float64. `token` is the aligned model's first choice, and possible for the base.
    """
    for g in prange(switches.shape[0]):
        begin, end = g * GROUP, min(g * GROUP + GROUP, aligned.shape[0])
        ours, theirs = aligned[begin:end], base[begin:end]
        count, most = NONE, 0.0
        for k in range(end - begin):
            count += ONE if theirs[k] > base[token] else NONE
        for k in range(end - begin if count > NONE else 0):
            if theirs[k] > base[token]:
                behind = np.float64(theirs[k]) - np.float64(base[token])
                ahead = np.float64(aligned[token]) - np.float64(ours[k])
                most = max(most, behind / (behind + ahead))
        switches[g] = most
