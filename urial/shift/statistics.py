"""How far one model's distribution lies from another's, token by token: from streams of logits.

Whoever hands over logits has already applied what the model does to its head (Gemma 2's soft cap, Granite's scaling,
...); here they are taken as they are.

Shapes: T answer positions, c rows of a chunk, r rows of a block, V entries of the common vocabulary, K of a top
list. Ranks are 1-based, KL and JS are in nats, probabilities are true ones (over all V entries).

Memory: no [T, V] tensor is ever made. A chunk of every source ([c, V] each) is held while its rows are worked
through in blocks of about half a million entries, small enough to stay in a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch

from urial.errors import EngineError
from urial.records import UnscoredReason
from urial.shift.backend import Arithmetic, Difference, ModelRows
from urial.shift.choose_backend import arithmetic_for

CHUNK_BYTES = 128 * 2**20  # for the chunks of all sources together
BLOCK_ENTRIES = 2**19
NOT_NUMBERS = "gave logits that are NaN, infinite or all masked"
RULED_OUT = "rules out a token that the aligned model holds possible: KL is infinite"

Name = TypeVar("Name", bound=str)  # of a context


class BrokenLogits(EngineError, ValueError):
    """A model gave something that is no distribution; `str(error)` says which, and at which position."""


class LogitSource(Protocol):
    """Logits of one model for T positions, handed over in row chunks. They are read, never written to."""

    def __len__(self) -> int: ...

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V_model], soft caps and scalings of the head applied."""
        ...


@dataclass(frozen=True, slots=True)
class ShiftStatistics:
    """One context, T positions. Top lists: K (id, probability), most probable first, equals by lower id.

    A position in `unscored` (0-based here, with the reason as in the record) holds None in every column of the base.
    """

    base_rank: list[int | None] = field(default_factory=list)
    aligned_rank: list[int | None] = field(default_factory=list)
    base_probability: list[float | None] = field(default_factory=list)
    aligned_probability: list[float | None] = field(default_factory=list)
    kl: list[float | None] = field(default_factory=list)
    js: list[float | None] = field(default_factory=list)
    switch_point: list[float | None] = field(default_factory=list)  # None too where it is not defined
    base_top: list[list[tuple[int, float]]] = field(default_factory=list)
    aligned_top: list[list[tuple[int, float]]] = field(default_factory=list)
    unscored: dict[int, UnscoredReason] = field(default_factory=dict)

    def leave_out(
        self,
        reason: UnscoredReason,
        aligned_rank: int | None = None,
        aligned_probability: float | None = None,
        aligned_top: Sequence[tuple[int, float]] = (),
    ) -> None:
        """One position more, which is not scored; what the aligned model told of it stays where it is sound."""
        self.unscored[len(self.base_rank)] = reason
        for column in (self.base_rank, self.base_probability, self.kl, self.js, self.switch_point):
            column.append(None)
        self.aligned_rank.append(aligned_rank)
        self.aligned_probability.append(aligned_probability)
        self.base_top.append([])
        self.aligned_top.append(list(aligned_top))


@torch.inference_mode()
def statistics(
    aligned: LogitSource,
    bases: Mapping[Name, LogitSource],
    answer_ids: Sequence[int],
    *,
    vocabulary: int,
    top: int = 10,
    rows_per_chunk: int | None = None,
    arithmetic: Arithmetic | None = None,
) -> dict[Name, ShiftStatistics]:
    """The shift of each answer token, for every context in `bases`; the aligned logits are made once for all.

    `vocabulary` is the number of token ids that both models share: a padded head's other columns are cut off.
    rank = 1 + number of entries with a logit strictly greater than the answer token's (the paper, section 2);
    KL = KL(P_aligned || P_base); JS = half KL(P_aligned || M) + half KL(P_base || M), M the mean of both, at
    most ln 2; the switch point is the least lambda at which the answer's token is the most probable one of the mixture
    (1 - lambda) log P_base + lambda log P_aligned, None where it is not the aligned model's own first choice.
    `rows_per_chunk`: None chooses it so that all chunks together stay under 128 MiB; `arithmetic`: None
    takes what suits the device.
    Raises BrokenLogits, naming the position, where logits hold NaN or +inf (-inf, a masked token, is allowed) or
    the base rules out a token that the aligned model allows (KL is infinite); ValueError where lengths, ids or
    widths do not fit together.
    """
    names = ["the aligned model", *(f"the base in context {name!r}" for name in bases)]
    sources = dict(zip(names, [aligned, *bases.values()], strict=True))
    _check(sources, answer_ids, vocabulary, top)
    rows = rows_per_chunk or _rows_that_fit(vocabulary, len(sources))
    results = {name: ShiftStatistics() for name in bases}
    for start in range(0, len(answer_ids), rows):
        span = slice(start, min(start + rows, len(answer_ids)))
        _compare_chunk(sources, list(results.values()), answer_ids, span, vocabulary, top, arithmetic)
    return results


def prepare(device: torch.device) -> None:
    """Compile what `statistics` needs on that device, if anything: a second or two, once for a machine."""
    arithmetic_for(device)


def _compare_chunk(
    sources: Mapping[str, LogitSource],
    results: Sequence[ShiftStatistics],
    answer_ids: Sequence[int],
    span: slice,
    vocabulary: int,
    top: int,
    arithmetic: Arithmetic | None,
) -> None:
    """One chunk, block by block. The chunks die with this call, before the next ones are made: half the memory."""
    aligned_name, *base_names = sources
    aligned, *bases = (_chunk(source, name, span, vocabulary) for name, source in sources.items())
    compare = arithmetic or arithmetic_for(aligned.device)
    for begin, end in _blocks(aligned):
        first = span.start + begin
        ids = answer_ids[first : span.start + end]
        ours, found = compare(aligned[begin:end], [base[begin:end] for base in bases], ids, top)
        _refuse(ours.is_broken, first, aligned_name, NOT_NUMBERS)
        for name, result, (theirs, difference) in zip(base_names, results, found, strict=True):
            _refuse(theirs.is_broken, first, name, NOT_NUMBERS)
            _refuse(difference.is_infinite, first, name, RULED_OUT)
            _append(result, ours, theirs, difference)


def _refuse(bad: Sequence[bool], first: int, source: str, what: str) -> None:
    """Raise BrokenLogits for the first of r rows from position `first` on that is marked."""
    if any(bad):
        raise BrokenLogits(f"position {first + bad.index(True)}: {source} {what}.")


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


def _append(result: ShiftStatistics, aligned: ModelRows, base: ModelRows, difference: Difference) -> None:
    result.base_rank.extend(base.rank)
    result.aligned_rank.extend(aligned.rank)
    result.base_probability.extend(base.probability)
    result.aligned_probability.extend(aligned.probability)
    result.kl.extend(difference.kl)
    result.js.extend(difference.js)
    result.switch_point.extend(difference.switch_point)
    result.base_top.extend(base.top)
    result.aligned_top.extend(list(row) for row in aligned.top)  # no list shared between contexts
