"""How far one model's distribution lies from another's, token by token: from streams of logits.

Knows torch and nothing else: no model, no tokenizer, no record. Whoever hands over logits has already applied
what the model does to its head (Gemma 2's soft cap, Granite's scaling, ...); here they are taken as they are.

Shapes: T answer positions, c rows of a chunk, r rows of a block, V entries of the common vocabulary, K of a top
list. Ranks are 1-based, KL and JS are in nats, probabilities are true ones (over all V entries).

Memory: no [T, V] tensor is ever made. A chunk of every source ([c, V] each) is held while its rows are worked
through in blocks of about half a million entries, small enough to stay in a processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

CHUNK_BYTES = 128 * 2**20  # for the chunks of all sources together
BLOCK_ENTRIES = 2**19
GROUP = 256  # entries behind one maximum when the most probable are looked for
FLOOR = torch.finfo(torch.float32).min  # stands for log 0, so that 0 * log 0 is 0 and not NaN


class LogitSource(Protocol):
    """Logits of one model for T positions, handed over in row chunks. They are read, never written to."""

    def __len__(self) -> int: ...

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V_model], soft caps and scalings of the head applied."""
        ...


@dataclass(frozen=True, slots=True)
class ShiftStatistics:
    """One context, T positions. Top lists: K (id, probability), most probable first, equals by lower id."""

    base_rank: list[int] = field(default_factory=list)
    aligned_rank: list[int] = field(default_factory=list)
    base_probability: list[float] = field(default_factory=list)
    aligned_probability: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    js: list[float] = field(default_factory=list)
    base_top: list[list[tuple[int, float]]] = field(default_factory=list)
    aligned_top: list[list[tuple[int, float]]] = field(default_factory=list)


class Workspace:
    """Memory for the rows in hand, kept from one block to the next: asking for it anew takes as long as the sums.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self._kept: dict[str, torch.Tensor] = {}

    def like(self, rows: torch.Tensor, name: str) -> torch.Tensor:
        """Room for rows of that shape; what it held under that name before is overwritten."""
        kept = self._kept.get(name)
        if kept is None or kept.shape != rows.shape or kept.device != rows.device:
            kept = self._kept[name] = torch.empty_like(rows, memory_format=torch.contiguous_format)
        return kept


@dataclass(frozen=True, slots=True)
class _Distribution:
    """One model's block of rows: all that the comparison of two models reads."""

    log_p: torch.Tensor  # [r, V]
    p: torch.Tensor  # [r, V]
    rank: list[int]  # of the answer's token
    probability: list[float]  # of the answer's token
    top: list[list[tuple[int, float]]]


@torch.inference_mode()
def statistics(
    aligned: LogitSource,
    bases: Mapping[str, LogitSource],
    answer_ids: Sequence[int],
    *,
    vocabulary: int,
    top: int = 10,
    rows_per_chunk: int | None = None,
    workspace: Workspace | None = None,
) -> dict[str, ShiftStatistics]:
    """The shift of each answer token, for every context in `bases`; the aligned logits are made once for all.

    `vocabulary` is the number of token ids that both models share: a padded head's other columns are cut off.
    rank = 1 + number of entries with a logit strictly greater than the answer token's (the paper, section 2);
    KL = KL(P_aligned || P_base); JS = half KL(P_aligned || M) + half KL(P_base || M), M the mean of both, at
    most ln 2. `rows_per_chunk`: None chooses it so that all chunks together stay under 128 MiB. A `workspace` of the
    caller's own saves time where few rows come at a time.
    Raises ValueError, naming the position, where logits hold NaN or +inf (-inf, a masked token, is allowed) or
    the base rules out a token that the aligned model allows (KL is infinite); also where lengths, ids or widths
    do not fit together.
    """
    names = ["the aligned model", *(f"the base in context {name!r}" for name in bases)]
    sources = dict(zip(names, [aligned, *bases.values()], strict=True))
    _check(sources, answer_ids, vocabulary, top)
    rows = rows_per_chunk or _rows_that_fit(vocabulary, len(sources))
    results = {name: ShiftStatistics() for name in bases}
    for start in range(0, len(answer_ids), rows):
        span = slice(start, min(start + rows, len(answer_ids)))
        _compare_chunk(sources, list(results.values()), answer_ids, span, vocabulary, top, workspace or Workspace())
    return results


def _compare_chunk(
    sources: Mapping[str, LogitSource],
    results: Sequence[ShiftStatistics],
    answer_ids: Sequence[int],
    span: slice,
    vocabulary: int,
    top: int,
    workspace: Workspace,
) -> None:
    """One chunk, block by block. The chunks die with this call, before the next ones are made: half the memory."""
    names = list(sources)
    aligned, *bases = (_chunk(sources[name], name, span, vocabulary) for name in names)
    for begin, end in _blocks(aligned):
        ids = answer_ids[span.start + begin : span.start + end]
        p = _distribution(aligned[begin:end], ids, top, _At("aligned", names[0], span.start + begin), workspace)
        for base, name, result in zip(bases, names[1:], results, strict=True):
            at = _At("base", name, span.start + begin)
            rows = base[begin:end].to(aligned.device)  # the models may lie on two GPUs
            _append(result, p, _distribution(rows, ids, top, at, workspace), at, workspace)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a block of rows lies, for messages."""

    side: str
    source: str
    start: int

    def refuse(self, bad_rows: torch.Tensor, what: str) -> None:
        """Raise ValueError for the first row marked in `bad_rows` [r]."""
        if bool(bad_rows.any()):
            raise ValueError(f"position {self.start + int(bad_rows.int().argmax())}: {self.source} {what}.")


def _check(sources: Mapping[str, LogitSource], answer_ids: Sequence[int], vocabulary: int, top: int) -> None:
    for name, source in sources.items():
        if len(source) != len(answer_ids):
            raise ValueError(f"{name} has {len(source)} rows for {len(answer_ids)} answer tokens.")
    for position, token in enumerate(answer_ids):
        if not 0 <= token < vocabulary:
            raise ValueError(f"position {position}: token id {token} is not in 0..{vocabulary - 1}.")
    if top < 1:
        raise ValueError(f"top is {top}; it must be at least 1.")


def _rows_that_fit(vocabulary: int, sources: int) -> int:
    return max(1, CHUNK_BYTES // (4 * vocabulary * sources))


def _chunk(source: LogitSource, name: str, span: slice, vocabulary: int) -> torch.Tensor:
    chunk = source.chunk(span.start, span.stop).to(torch.float32)
    rows = span.stop - span.start
    if chunk.shape[0] != rows or chunk.shape[1] < vocabulary:
        found, wanted = list(chunk.shape), f"[{rows}, {vocabulary} or more]"
        raise ValueError(f"{name} gave logits of shape {found} where {wanted} is needed.")
    return chunk[:, :vocabulary]


def _blocks(chunk: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Spans of rows: small ones for a processor's cache, all at once on a GPU, where calls cost."""
    rows, width = chunk.shape
    size = max(1, BLOCK_ENTRIES // width) if chunk.device.type == "cpu" else rows
    return ((begin, min(begin + size, rows)) for begin in range(0, rows, size))


def _distribution(
    logits: torch.Tensor, answer_ids: Sequence[int], top: int, at: _At, workspace: Workspace
) -> _Distribution:
    """Normalise rows [r, V] and look up the answer's tokens.

    Not `log_softmax`: on a processor its running float32 sum loses small terms (3e-4 nats at V = 262,144).
    """
    largest = logits.amax(-1, keepdim=True)
    at.refuse(~largest.isfinite().squeeze(-1), "gave logits that are NaN, infinite or all masked")
    log_p = torch.sub(logits, largest, out=workspace.like(logits, f"{at.side} log p"))
    p = torch.exp(log_p, out=workspace.like(logits, f"{at.side} p"))
    total = p.sum(-1, keepdim=True)  # pairwise, so that small terms count
    p /= total
    log_p.sub_(total.log_()).clamp_(min=FLOOR)
    top_logits, top_ids = _most_probable(logits, min(top, logits.shape[1]))
    ids = torch.tensor(answer_ids, device=logits.device)[:, None]
    return _Distribution(
        log_p=log_p,
        p=p,
        rank=_ranks(logits, logits.gather(-1, ids), top_logits).tolist(),
        probability=p.gather(-1, ids).squeeze(-1).tolist(),
        top=[
            list(zip(i, q, strict=True)) for i, q in zip(top_ids.tolist(), p.gather(-1, top_ids).tolist(), strict=True)
        ],
    )


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


def _append(
    result: ShiftStatistics, aligned: _Distribution, base: _Distribution, at: _At, workspace: Workspace
) -> None:
    at.refuse(_excluded(aligned, base), "rules out a token that the aligned model holds possible: KL is infinite")
    kl, js = _divergences(aligned, base, workspace)
    result.base_rank.extend(base.rank)
    result.aligned_rank.extend(aligned.rank)
    result.base_probability.extend(base.probability)
    result.aligned_probability.extend(aligned.probability)
    result.kl.extend(kl.tolist())
    result.js.extend(js.tolist())
    result.base_top.extend(base.top)
    result.aligned_top.extend(list(row) for row in aligned.top)  # no list shared between contexts


def _excluded(aligned: _Distribution, base: _Distribution) -> torch.Tensor:
    """Rows [r] where a token is masked (-inf) for the base but has a probability under the aligned model."""
    masked = base.log_p.amin(-1) <= FLOOR
    if not bool(masked.any()):
        return masked
    return ((base.log_p <= FLOOR) & (aligned.p > 0)).any(-1)


def _divergences(
    aligned: _Distribution, base: _Distribution, workspace: Workspace
) -> tuple[torch.Tensor, torch.Tensor]:
    """KL and JS [r]. Differences of logarithms are taken before weighting: products would cancel badly.

    The tiny number keeps log M finite where both probabilities are 0; such entries then add exactly nothing.
    """
    work, log_m = (workspace.like(aligned.p, name) for name in ("work", "log m"))
    kl = torch.sub(aligned.log_p, base.log_p, out=work).mul_(aligned.p).sum(-1)
    torch.add(aligned.p, base.p, out=log_m).add_(torch.finfo(torch.float32).tiny).log_()
    js = torch.sub(aligned.log_p, log_m, out=work).mul_(aligned.p).sum(-1)
    js += torch.sub(base.log_p, log_m, out=work).mul_(base.p).sum(-1)
    return kl.clamp_(min=0), (math.log(2) + js.double() / 2).clamp_(0, math.log(2))  # float32 cannot hold ln 2
