"""The measures of the paper's own reference code, for comparison with its demo pages; not the paper's definitions.

They see two lists of the 30 most probable tokens instead of two distributions (Re-Align/AlignTDS,
`compute_dist_diff.py`): probabilities are renormalised over those 30 and compared within the first 10. Here tokens
are told apart by id, where that code compares decoded strings; the rest is as it does it. The exact measures, over
the whole vocabulary, are in `shift/`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LISTED = 30  # entries that the reference code saves for each position
COMPARED = 10  # entries that its demo pages compare

TopList = Sequence[tuple[int, float]]  # (id, true probability), most probable first, LISTED of them


@dataclass(frozen=True, slots=True)
class ReferenceMetrics:
    """One position, named as in the reference code's pages.

    `kl_at_10`: nats, base to aligned, over the tokens in both lists alone, so it can be negative; 0 where the lists
    share nothing. `jaccard_at_10`: shared tokens over all tokens, 1 for equal lists.
    `capped_rank`: place of the aligned model's most probable token (not of the answer's) in the base's list, from 1;
    11 where it is not listed. (The reference code counts from 0, so its number is one less.)
    """

    kl_at_10: float
    jaccard_at_10: float
    capped_rank: int


def reference_metrics(base_top: TopList, aligned_top: TopList) -> ReferenceMetrics:
    """All three measures of one position, from `shift.statistics(..., top=30)`. Raises ValueError for an empty list."""
    if not base_top or not aligned_top:
        raise ValueError("Both lists of most probable tokens need at least one entry.")
    base, aligned = _first(base_top), _first(aligned_top)
    shared = base.keys() & aligned.keys()
    terms = (base[i] * math.log(base[i] / aligned[i]) for i in shared if base[i] > 0 and aligned[i] > 0)
    return ReferenceMetrics(
        kl_at_10=math.fsum(terms),
        jaccard_at_10=len(shared) / len(base.keys() | aligned.keys()),
        capped_rank=_capped_rank(base_top, aligned_top),
    )


def _first(top: TopList) -> dict[int, float]:
    """The first 10 with their share of the whole list's probability."""
    total = math.fsum(probability for _, probability in top[:LISTED])
    return {token: probability / total for token, probability in top[:COMPARED]}


def _capped_rank(base_top: TopList, aligned_top: TopList) -> int:
    wanted = aligned_top[0][0]
    ranks = (rank for rank, (token, _) in enumerate(base_top[:COMPARED], start=1) if token == wanted)
    return next(ranks, COMPARED + 1)
