"""The reference code's measures on cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from urial.paper_code_metrics import LISTED, reference_metrics
from urial.shift.statistics import statistics


def flat(ids: range) -> list[tuple[int, float]]:
    return [(i, 0.02) for i in ids]


def test_equal_lists_are_equal() -> None:
    found = reference_metrics(flat(range(30)), flat(range(30)))
    assert (found.kl_at_10, found.jaccard_at_10, found.capped_rank) == (0, 1, 1)


def test_disjoint_lists_share_nothing() -> None:
    found = reference_metrics(flat(range(30)), flat(range(50, 80)))
    assert (found.kl_at_10, found.jaccard_at_10, found.capped_rank) == (0, 0, 11)


def test_worked_by_hand() -> None:
    """Shares after renormalising: base 1/2, 1/4, 1/4; aligned 1/8, 1/2, 3/8; tokens 7 and 8 are in both."""
    base = [(7, 0.4), (8, 0.2), (9, 0.2)]
    aligned = [(5, 0.4), (8, 0.3), (7, 0.1)]
    found = reference_metrics(base, aligned)
    assert found.kl_at_10 == pytest.approx(0.5 * math.log(0.5 / 0.125) + 0.25 * math.log(0.25 / 0.375))
    assert found.jaccard_at_10 == 2 / 4
    assert found.capped_rank == 11


def test_kl_over_the_shared_tokens_alone_can_be_negative() -> None:
    found = reference_metrics([(1, 0.1), (2, 0.9)], [(1, 0.9), (3, 0.1)])
    assert found.kl_at_10 == pytest.approx(0.1 * math.log(0.1 / 0.9))
    assert found.kl_at_10 < 0


def test_probabilities_are_shares_of_thirty_but_ten_are_compared() -> None:
    """Ten tokens at 0.05 and twenty at 0.025 make 1; the aligned list has the same ten at 0.09, twenty at 0.005."""
    base = [(i, 0.05) for i in range(10)] + [(i, 0.025) for i in range(10, 30)]
    aligned = [(i, 0.09) for i in range(9, -1, -1)] + [(i, 0.005) for i in range(30, 50)]
    found = reference_metrics(base, aligned)
    assert found.kl_at_10 == pytest.approx(10 * 0.05 * math.log(0.05 / 0.09))
    assert found.jaccard_at_10 == 1
    assert found.capped_rank == 10


@pytest.mark.parametrize(("place", "rank"), [(0, 1), (1, 2), (2, 3), (9, 10), (10, 11), (25, 11)])
def test_the_rank_is_capped_after_the_tenth(place: int, rank: int) -> None:
    assert reference_metrics(flat(range(30)), flat(range(place, place + 30))).capped_rank == rank


def test_probabilities_of_zero_are_skipped() -> None:
    assert reference_metrics([(1, 1.0), (2, 0.0)], [(1, 1.0), (2, 0.0)]).kl_at_10 == 0


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one entry"):
        reference_metrics([], flat(range(30)))


def test_from_logits() -> None:
    """Fed by the exact statistics: renormalised over 30, as a softmax over the 30 largest logits would be."""

    class Rows:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

        def __len__(self) -> int:
            return len(self.logits)

        def chunk(self, start: int, stop: int) -> torch.Tensor:
            return self.logits[start:stop]

    generator = torch.Generator().manual_seed(0)
    aligned = torch.empty(1, 2000).normal_(0, 3, generator=generator)
    base = aligned + torch.empty(1, 2000).normal_(0, 1, generator=generator)
    found = statistics(Rows(aligned), {"zero_shot": Rows(base)}, [0], vocabulary=2000, top=LISTED)["zero_shot"]
    ours = reference_metrics(found.base_top[0], found.aligned_top[0])
    weights = []
    for logits in (base[0].double().numpy(), aligned[0].double().numpy()):
        order = np.argsort(-logits)[:30]
        shares = np.exp(logits[order]) / np.exp(logits[order]).sum()
        weights.append(dict(zip(order[:10].tolist(), shares[:10].tolist(), strict=True)))
    p, q = weights
    assert len(p.keys() & q.keys()) > 2
    assert ours.kl_at_10 == pytest.approx(sum(p[i] * math.log(p[i] / q[i]) for i in p.keys() & q.keys()), abs=1e-5)
    assert ours.jaccard_at_10 == len(p.keys() & q.keys()) / len(p.keys() | q.keys())
