"""Rows compared by torch, all at once: on a GPU, and on a processor that cannot compile loops.

Shapes: r rows, V entries, K of a top list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from urial.shift.backend import Compared, Difference, ModelRows
from urial.shift.switch_points import switch_points

GROUP = 256  # entries behind one maximum when the most probable are looked for
FLOOR = torch.finfo(torch.float32).min  # stands for log 0, so that 0 * log 0 is 0 and not NaN


@dataclass(frozen=True, slots=True)
class _Distribution:
    """One model's rows: all that the comparison of two models reads."""

    log_p: torch.Tensor  # [r, V]
    p: torch.Tensor  # [r, V]
    told: ModelRows


def compare(aligned: torch.Tensor, bases: Sequence[torch.Tensor], answer_ids: Sequence[int], top: int) -> Compared:
    """See `base.Arithmetic`; the models' rows may lie on two devices."""
    ours = _distribution(aligned, answer_ids, top)
    found = []
    for base in bases:
        base = base.to(aligned.device)
        theirs = _distribution(base, answer_ids, top)
        excluded = _excluded(ours, theirs).tolist()
        kl, js = (column.tolist() for column in _divergences(ours, theirs))
        switches = _switches(aligned, base, answer_ids, ours.told, theirs.told, excluded)
        found.append((theirs.told, Difference(excluded, kl, js, switches)))
    return ours.told, found


def _distribution(logits: torch.Tensor, answer_ids: Sequence[int], top: int) -> _Distribution:
    """Normalise rows [r, V] and look up the answer's tokens.

    Not `log_softmax`: on a processor its running float32 sum loses small terms (3e-4 nats at V = 262,144).
    """
    largest = logits.amax(-1, keepdim=True)
    log_p = logits - largest
    p = log_p.exp()
    total = p.sum(-1, keepdim=True)  # pairwise, so that small terms count
    p /= total
    log_p.sub_(total.log_()).clamp_(min=FLOOR)
    top_logits, top_ids = _most_probable(logits, min(top, logits.shape[1]))
    ids = torch.tensor(answer_ids, device=logits.device)[:, None]
    probabilities = p.gather(-1, top_ids).tolist()
    told = ModelRows(
        is_broken=(~largest.isfinite()).squeeze(-1).tolist(),
        rank=_ranks(logits, logits.gather(-1, ids), top_logits).tolist(),
        probability=p.gather(-1, ids).squeeze(-1).tolist(),
        top=[list(zip(i, q, strict=True)) for i, q in zip(top_ids.tolist(), probabilities, strict=True)],
    )
    return _Distribution(log_p, p, told)


def _ranks(logits: torch.Tensor, chosen: torch.Tensor, top_logits: torch.Tensor) -> torch.Tensor:
    """1 + entries strictly above `chosen` [r, 1]; a whole row is counted only for a token outside the list."""
    ranks = 1 + (top_logits > chosen).sum(-1)
    beyond = (chosen < top_logits[:, -1:]).squeeze(-1).nonzero().squeeze(-1)
    if len(beyond):
        ranks[beyond] = 1 + (logits[beyond] > chosen[beyond]).sum(-1)
    return ranks


def _most_probable(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k largest logits of each row and their ids, both [r, k]: largest first, equals by lower id.

    `torch.topk` picks among equals as it likes, so one more is asked for: a row whose list ends amid equals is
    settled by hand.
    """
    values, ids = _largest(logits, min(k + 1, logits.shape[1]))
    ids, order = ids.sort(-1)
    values, order = values.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    ids = ids.gather(-1, order)
    if values.shape[1] > k:
        for row in (values[:, k - 1] == values[:, k]).nonzero().flatten().tolist():
            above = int((values[row, :k] > values[row, k]).sum())
            ids[row, above:k] = (logits[row] == values[row, k]).nonzero().flatten()[: k - above]
    return values[:, :k], ids[:, :k]


def _largest(logits: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`torch.topk`, quicker for a wide head: the k groups with the greatest maxima hold the k largest."""
    rows, width = logits.shape
    groups = width // GROUP
    if groups <= 4 * k:
        return logits.topk(k, -1)
    grouped = logits[:, : groups * GROUP].unflatten(-1, (groups, GROUP))
    winners = grouped.amax(-1).topk(k, -1).indices
    within = torch.arange(GROUP, device=logits.device)
    ids = (winners[:, :, None] * GROUP + within).flatten(1)  # [r, k * GROUP]
    rest = torch.arange(groups * GROUP, width, device=logits.device).expand(rows, -1)
    ids = torch.cat((ids, rest), -1)
    values, places = logits.gather(-1, ids).topk(k, -1)
    return values, ids.gather(-1, places)


def _switches(
    aligned: torch.Tensor,
    base: torch.Tensor,
    answer_ids: Sequence[int],
    ours: ModelRows,
    theirs: ModelRows,
    excluded: Sequence[bool],
) -> list[float | None]:
    """Only rows in which the base would write something else are looked at again."""
    is_sound = [not any(flags) for flags in zip(ours.is_broken, theirs.is_broken, excluded, strict=True)]
    found = [0.0 if ok and rank == 1 else None for ok, rank in zip(is_sound, ours.rank, strict=True)]
    rows = [row for row, switch in enumerate(found) if switch is not None and theirs.rank[row] > 1]
    if rows:
        tokens = torch.tensor([[answer_ids[row]] for row in rows], device=base.device)
        for row, switch in zip(rows, switch_points(aligned[rows], base[rows], tokens).tolist(), strict=True):
            found[row] = switch
    return found


def _excluded(aligned: _Distribution, base: _Distribution) -> torch.Tensor:
    """Rows [r] where a token is masked (-inf) for the base but has a probability under the aligned model."""
    masked = base.log_p.amin(-1) <= FLOOR
    if not bool(masked.any()):
        return masked
    return ((base.log_p <= FLOOR) & (aligned.p > 0)).any(-1)


def _divergences(aligned: _Distribution, base: _Distribution) -> tuple[torch.Tensor, torch.Tensor]:
    """KL and JS [r]. Differences of logarithms are taken before weighting: products would cancel badly.

    The tiny number keeps log M finite where both probabilities are 0; such entries then add exactly nothing. Results
    of a wide row's size take each other's place: on a GPU's memory a chunk counts.
    """
    work = torch.sub(aligned.log_p, base.log_p)
    kl = work.mul_(aligned.p).sum(-1)
    log_m = torch.add(aligned.p, base.p).add_(torch.finfo(torch.float32).tiny).log_()
    js = torch.sub(aligned.log_p, log_m, out=work).mul_(aligned.p).sum(-1)
    js += torch.sub(base.log_p, log_m, out=work).mul_(base.p).sum(-1)
    return kl.clamp_(min=0), (math.log(2) + js.double() / 2).clamp_(0, math.log(2))  # float32 cannot hold ln 2
