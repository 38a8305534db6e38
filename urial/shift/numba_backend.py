"""Rows compared by compiled loops, on a processor: each logit is read twice, and nothing of a row's width is made.

Shapes: r rows, V entries, G groups, K of a top list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from urial.kernels.cores import all_cores, can_run
from urial.kernels.sharing import share_out
from urial.shift.backend import Compared, Difference, ModelRows
from urial.shift.numba_kernels import GROUP, differ, overtake, survey

__all__ = ["can_run", "compare", "warm_up"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Row:
    """One model's row of logits, surveyed."""

    logits: Floats  # [V]
    at: int  # where they lie
    chosen: int
    rank: int
    group_greatest: Floats  # [G]
    greatest: float
    log_total: float  # of exp(logit - greatest)

    @property
    def is_broken(self) -> bool:
        return not (math.isfinite(self.greatest) and math.isfinite(self.log_total))

    def probability(self, logits: Floats) -> NDArray[np.float64]:
        return np.exp(logits.astype(np.float64) - self.greatest - self.log_total)


def warm_up() -> None:
    """Compiles the loops. Raises RuntimeError where that fails."""
    compare(torch.zeros(1, 2), [torch.tensor([[0.0, 1.0]])], [0], 1)  # the base has a rival: every loop runs


def compare(aligned: torch.Tensor, bases: Sequence[torch.Tensor], answer_ids: Sequence[int], top: int) -> Compared:
    """See `base.Arithmetic`; rows are float32. Raises RuntimeError where compiling fails."""
    with all_cores("statistics"), np.errstate(invalid="ignore", over="ignore"):
        ours, *theirs = ([_surveyed(*row) for row in zip(_rows(m), answer_ids, strict=True)] for m in (aligned, *bases))
        return _told(ours, top), [(_told(rows, top), _difference(ours, rows)) for rows in theirs]


def _rows(logits: torch.Tensor) -> list[Floats]:
    return [np.ascontiguousarray(row, np.float32) for row in logits.cpu().numpy()]


def _surveyed(logits: Floats, chosen: int) -> _Row:
    groups = -(-len(logits) // GROUP)
    found = np.empty((3, groups), np.float32)
    at = logits.ctypes.data
    share_out(survey, groups, at, len(logits), chosen, groups, found.ctypes.data)
    greatest, sums, above = found
    most = float(greatest.max())
    total = float(np.dot(sums.astype(np.float64), np.exp(greatest.astype(np.float64) - most)))
    log_total = math.log(total) if total > 0 else math.nan
    return _Row(logits, at, chosen, 1 + int(above.sum(dtype=np.float64)), greatest, most, log_total)


def _told(rows: Sequence[_Row], top: int) -> ModelRows:
    return ModelRows(
        is_broken=[row.is_broken for row in rows],
        rank=[row.rank for row in rows],
        probability=[float(row.probability(row.logits[row.chosen])) for row in rows],
        top=[_most_probable(row, top) for row in rows],
    )


def _most_probable(row: _Row, top: int) -> list[tuple[int, float]]:
    ids = _candidates(row, top)
    ids = ids[np.argsort(-row.logits[ids], kind="stable")[:top]]
    return list(zip(ids.tolist(), row.probability(row.logits[ids]).tolist(), strict=True))


def _candidates(row: _Row, top: int) -> NDArray[np.int64]:
    """Ids, ascending, that hold the `top` largest: none of these lies below the `top`-th largest of the maxima."""
    if top >= len(row.group_greatest):
        return np.arange(len(row.logits))
    least = np.partition(row.group_greatest, -top)[-top]
    groups = np.flatnonzero(row.group_greatest >= least)
    ids = (groups[:, None] * GROUP + np.arange(GROUP)).ravel()
    ids = ids[ids < len(row.logits)]
    found: NDArray[np.int64] = ids[row.logits[ids] >= least]
    return found


def _difference(aligned: Sequence[_Row], base: Sequence[_Row]) -> Difference:
    found = [_apart(one, two) for one, two in zip(aligned, base, strict=True)]
    infinite, kl, js = (list(column) for column in zip(*found, strict=True))
    switches = [_switch_point(one, two, out) for one, two, out in zip(aligned, base, infinite, strict=True)]
    return Difference(infinite, kl, js, switches)


def _switch_point(aligned: _Row, base: _Row, is_infinite: bool) -> float | None:
    """Without another look at the rows where the base's own first choice is the token."""
    if aligned.rank > 1 or aligned.is_broken or base.is_broken or is_infinite:
        return None
    return 0.0 if base.rank == 1 else switch_point(aligned.logits, base.logits, base.chosen)


def switch_point(aligned: Floats, base: Floats, token: int) -> float:
    """Of one row [V] of each model; `token` is the aligned model's first choice, and possible for the base."""
    aligned, base = (np.ascontiguousarray(row, np.float32) for row in (aligned, base))  # a task knows addresses alone
    switches = np.empty(-(-len(base) // GROUP))
    rows = aligned.ctypes.data, base.ctypes.data, len(base)
    share_out(overtake, len(switches), *rows, token, len(switches), switches.ctypes.data)
    return float(switches.max())


def _apart(aligned: _Row, base: _Row) -> tuple[bool, float, float]:
    """Whether KL is infinite, KL, JS."""
    groups = len(aligned.group_greatest)
    norms = np.array([[row.greatest, row.log_total] for row in (aligned, base)], np.float32)
    found = np.empty((3, groups), np.float32)
    rows = aligned.at, base.at, len(base.logits)
    share_out(differ, groups, *rows, norms.ctypes.data, groups, found.ctypes.data)
    kl, js, excluded = found
    kl_sum, js_sum = float(kl.sum(dtype=np.float64)), float(js.sum(dtype=np.float64))
    return bool(excluded.any()), max(0.0, kl_sum), min(max(0.0, js_sum / 2), math.log(2))
