"""Lines as columns: what the figures need of each answer, and nothing more, so that a long corpus fits into memory.

A position takes some 25 bytes for each context. Shapes: T positions of one answer, end tokens included.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from urial.corpus.lines import Line, Origin, read_lines
from urial.paper_code_metrics import reference_metrics
from urial.prompts import METHODS
from urial.records import Comparison, ContextName, ContextShift, PairInfo, Settings, StopReason


@dataclass(frozen=True, slots=True)
class Original:
    """One answer as the original code counts it: sums over all positions, end token included."""

    tokens: int
    unshifted: int
    marginal: int
    shifted: int
    kl: float
    jaccard: float


@dataclass(frozen=True, slots=True)
class Columns:
    """One context of one answer. A rank of 0 and NaN mean: not scored."""

    exact: bool
    ids: np.ndarray  # [T] int32
    rank: np.ndarray  # [T] int32, 1-based
    kl: np.ndarray  # [T] float64, nats
    probability: np.ndarray  # [T] float64, of the base
    special: np.ndarray  # [T] bool
    repeat: np.ndarray  # [T] bool: repeats earlier tokens word for word (`repeats.py`)
    switch: np.ndarray  # [T] float64, switch points; NaN where there is none
    original: Original

    @property
    def counted(self) -> np.ndarray:
        """[T] bool: scored, no end token and no repeat: what figures are over, unless they say otherwise."""
        return self.scored & ~self.repeat

    @property
    def scored(self) -> np.ndarray:
        """[T] bool: scored, and no end token; repeats are in it."""
        return (self.rank > 0) & ~self.special


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished question."""

    origin: Origin
    query: str
    base_words: int
    aligned_words: int
    base_stop: StopReason
    aligned_stop: StopReason
    contexts: dict[ContextName, Columns]


@dataclass(frozen=True, slots=True)
class Lost:
    """A question without an answer, and why."""

    origin: Origin
    query: str
    error: str


@dataclass(slots=True)
class Corpus:
    """All lines of a folder, the newest of each key; `texts` are the tokens' texts by id."""

    answered: list[Answered]
    lost: list[Lost]
    texts: dict[int, str]
    pair: PairInfo | None = None
    settings: Settings | None = None  # of the first answer

    def of(self, method: str) -> list[Answered]:
        return [one for one in self.answered if one.origin.method == method]

    @property
    def _all(self) -> list[Answered | Lost]:
        return [*self.answered, *self.lost]

    @property
    def methods(self) -> list[str]:
        """In the order of all methods: which line was finished first is chance."""
        found = {one.origin.method for one in self._all}
        return [name for name in METHODS if name in found] + sorted(found - METHODS.keys())

    @property
    def questions(self) -> int:
        return len({one.origin.id for one in self._all})


def read(folder: str | Path) -> Corpus:
    """The folder's lines, read one at a time. Raises RecordError."""
    found: dict[str, Answered | Lost] = {}
    corpus = Corpus([], [], {})
    for line in read_lines(folder):
        found.pop(line.origin.key, None)  # a question that was run again counts as its newest line says
        found[line.origin.key] = _taken(line, corpus)
    corpus.answered = [one for one in found.values() if isinstance(one, Answered)]
    corpus.lost = [one for one in found.values() if isinstance(one, Lost)]
    return corpus


def _taken(line: Line, corpus: Corpus) -> Answered | Lost:
    if line.record is None:
        return Lost(line.origin, line.query, line.error or "")
    record = line.record
    corpus.pair = corpus.pair or record.pair
    corpus.settings = corpus.settings or record.settings
    return Answered(
        origin=line.origin,
        query=line.query,
        base_words=len(record.base.text.split()),
        aligned_words=len(record.aligned.text.split()),
        base_stop=record.base.stop_reason,
        aligned_stop=record.aligned.stop_reason,
        contexts=_contexts(record, corpus.texts),
    )


def _contexts(record: Comparison, texts: dict[int, str]) -> dict[ContextName, Columns]:
    for shift in record.shift.values():
        for row in shift.tokens:
            if row.id not in texts or (not texts[row.id] and row.text):
                texts[row.id] = row.text
    repeated = record.repeated_positions()
    return {name: columns(shift, repeated) for name, shift in record.shift.items()}


def columns(shift: ContextShift, repeated: Set[int] = frozenset()) -> Columns:
    """`repeated`: the positions of the answer that repeat earlier ones."""
    rows = shift.tokens
    return Columns(
        exact=shift.exact,
        ids=np.array([row.id for row in rows], np.int32),
        rank=np.array([row.base_rank or 0 for row in rows], np.int32),
        kl=_numbers(row.kl for row in rows),
        probability=_numbers(row.base_probability for row in rows),
        special=np.array([row.is_special for row in rows], bool),
        repeat=np.array([row.position in repeated for row in rows], bool),
        switch=_numbers(getattr(row, "switch_point", None) for row in rows),
        original=original(shift),
    )


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def original(shift: ContextShift) -> Original:
    """The original code's own way of counting, as far as lists of ten allow (`paper_code_metrics.py`)."""
    listed = [row for row in shift.tokens if row.base_top and row.aligned_top]
    found = [
        reference_metrics([(i, p) for i, _, p in row.base_top], [(i, p) for i, _, p in row.aligned_top])
        for row in listed
        if sum(p for *_, p in row.base_top) > 0 and sum(p for *_, p in row.aligned_top) > 0
    ]
    ranks = [one.capped_rank for one in found]
    return Original(
        tokens=len(found),
        unshifted=sum(rank == 1 for rank in ranks),
        marginal=sum(1 < rank <= 3 for rank in ranks),
        shifted=sum(rank > 3 for rank in ranks),
        kl=sum(one.kl_at_10 for one in found),
        jaccard=sum(one.jaccard_at_10 for one in found),
    )
