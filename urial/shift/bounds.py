"""KL and JS from lists of the most probable tokens: proven lower bounds, with the mass that the lists leave open.

Symbols: P the aligned model, Q the base; S the tokens whose probability both
lists tell; U those that only P's list tells; R all others. Divergences are in nats.

Why they are bounds. Merging tokens into one never raises a divergence (the log-sum inequality; Cover and Thomas,
Elements of Information Theory, theorem 2.7.1), so S one by one and all others as one give a lower bound, whatever Q
holds on them. For KL more is known: a token that Q's list of K leaves out is at most as probable as the list's last.
KL is smallest, over all Q that agree with this, where Q is proportional to P on U and R but cut at that limit, and
that smallest value is the bound. It equals KL where both lists hold the whole vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ROUNDING = 1e-6  # servers tell float32 logarithms: sums are sure to about this, and a bound errs downwards


@dataclass(frozen=True, slots=True)
class Known:
    """What is told of one model at one position: probabilities of some tokens, and the limit for all others."""

    probabilities: Mapping[int, float]
    limit: float  # no other token is more probable than this

    @classmethod
    def of(cls, token_id: int, probability: float, top: Sequence[tuple[int, float]]) -> Known:
        """From the K most probable tokens and the answer's own, which may be among them."""
        return cls({**dict(top), token_id: probability}, min(p for _, p in top))


@dataclass(frozen=True, slots=True)
class Bound:
    """KL and JS are at least these; `uncovered` is the part of P on tokens whose base probability is not told."""

    kl: float
    js: float
    uncovered: float


def lower_bound(aligned: Known, base: Known) -> Bound:
    """From what is told of both models at one position."""
    p, q = aligned.probabilities, base.probabilities
    shared = sorted(p.keys() & q.keys())
    alone = sorted((p[token] for token in p.keys() - q.keys()), reverse=True)
    p_open, q_open = rest(p[token] for token in shared), rest(q[token] for token in shared)
    kl = sum(term(p[token], q[token]) for token in shared) + smallest_rest(alone, p_open, q_open, base.limit)
    return Bound(max(kl, 0.0), merged_js([(p[t], q[t]) for t in shared], p_open, q_open), p_open)


def smallest_rest(alone: Sequence[float], p_open: float, q_open: float, limit: float) -> float:
    """The least that U (`alone`, falling) and R can add to KL: their share of P is `p_open`, that of Q `q_open`.

    Q is scale * P on every token, except that it is cut at `limit` where that would be more: cut the most probable
    tokens of U, one more each time, until the next one fits.
    """
    q_open += ROUNDING
    cut = 0.0
    for p in alone:
        scale = q_open / p_open if p_open > 0 else 0.0
        if scale * p <= limit or q_open <= limit:
            break
        cut += term(p, limit)
        p_open, q_open = max(p_open - p, 0.0), q_open - limit
    return cut + term(p_open, q_open)


def term(p: float, q: float) -> float:
    """p ln(p / q); 0 where p is 0. A q of 0 is a rounding: the least that float32 logarithms can tell stands for it."""
    return p * math.log(p / max(q, 1e-38)) if p > 0 else 0.0


def merged_js(pairs: Sequence[tuple[float, float]], p_open: float, q_open: float) -> float:
    """JS of two distributions whose other tokens are merged into one; 0 to ln 2."""
    found = 0.0
    for p, q in [*pairs, (p_open, q_open)]:
        middle = (p + q) / 2
        found += (term(p, middle) + term(q, middle)) / 2
    return min(max(found, 0.0), math.log(2))


def rest(parts: Iterable[float]) -> float:
    """What is left of 1."""
    return max(1.0 - math.fsum(parts), 0.0)
