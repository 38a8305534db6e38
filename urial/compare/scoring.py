"""The shift of an aligned answer: both models read it, the statistics compare, rows come out.

Two models of this process read it in step with its writing (`ExactComparison`). Where one of them tells only its most
probable tokens, it is asked for chunks (`Scoring`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import cast

import torch

from urial.compare.foreign_tokens import SomeRows, with_foreign_columns, with_foreign_rows
from urial.compare.side import ToldRows
from urial.compare.top_lists import BoundedStatistics, bounded_statistics, rows_told
from urial.engines.base import FIRST_REREAD, Engine, LogitRows, ScoreSession, ToldRow, TopRows
from urial.engines.local.runner import gpu_rows
from urial.engines.pair import PairEngines
from urial.records import ContextName, TokenShift, TopEntry
from urial.shares import classify
from urial.shift import statistics as shift
from urial.shift.statistics import ShiftStatistics

NO_ROWS = ToldRows([])
ROWS_ON_GPU = 256  # of each source at once, at most
TOP = 10  # entries in the lists of alternatives (design, section 6)

Rows = dict[ContextName, tuple[TokenShift, ...]]
Columns = dict[ContextName, ShiftStatistics]


class ExactComparison:
    """What the scheduler makes of the rows of both models: statistics in every context."""

    def __init__(self, engines: PairEngines, contexts: Mapping[ContextName, Sequence[int]], room: int) -> None:
        """`contexts` are what the base has before an answer of up to `room` tokens."""
        self._engines = engines
        self.vocabulary = engines.vocabulary
        self._names = list(contexts)
        self.followers = [engines.local("base").reader(ids, room) for ids in contexts.values()]

    def compare(self, rows: Sequence[Sequence[torch.Tensor]], ids: Sequence[int]) -> Columns:
        """From the aligned model's rows [1, V], then those of each context, that predict `ids`.

        Where the base does not know the token there are none of its rows.
        """
        aligned, *bases = map(GivenRows, rows)
        if ids[0] >= self.vocabulary:
            told = dict(
                enumerate(rows_told(self._engines.aligned, aligned, ids, self._engines.aligned.vocabulary_size))
            )
            return {name: with_foreign_columns(ShiftStatistics(), [], told, TOP) for name in self._names}
        sources = dict(zip(self._names, bases, strict=True))
        row = rows[0][0]
        at_once = min(ROWS_ON_GPU, gpu_rows(row.device, row.shape[1])) if row.is_cuda else None  # there calls cost
        return shift.statistics(aligned, sources, ids, vocabulary=self.vocabulary, top=TOP, rows_per_chunk=at_once)


class GivenRows:
    """Logits that are here already: n rows [1, V]."""

    def __init__(self, rows: Sequence[torch.Tensor]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        rows = self._rows[start:stop]
        return rows[0] if len(rows) == 1 else torch.cat(list(rows))


class Scoring:
    """Rows for one answer of a model without logits, in every context, in order of position."""

    def __init__(
        self,
        engines: PairEngines,
        aligned_ids: Sequence[int],
        contexts: Mapping[ContextName, Sequence[int]],
        room: int,
    ) -> None:
        """`aligned_ids` and `contexts` are what the answer of up to `room` tokens follows, for each model."""
        self._engines = engines
        self._aligned_ids = aligned_ids
        self._room = room
        self._aligned: ScoreSession | None = None  # an answer that is told by its writer needs none
        self._bases = open_all(engines.base, contexts, room)
        self._asked: list[int] = []

    @property
    def next_chunk(self) -> int:
        """How many new tokens to wait for before asking again.

        Where every chunk means reading the context again, each is as long as all before it: T tokens take about
        log2(T / 64) + 1 readings, and no token is read more than twice as often as in one go.
        """
        if self._engines.rereads_context:
            return max(FIRST_REREAD, len(self._asked))
        return max(session.chunk for session in self._bases.values())

    def ask(self, ids: Sequence[int], texts: Sequence[str], own: LogitRows | TopRows | None) -> Asked:
        """Begin on the next answer tokens, `texts` aligned to `ids`; `own`: the aligned model's rows if it told them.

        Servers get all requests at once; a local model does its part when the rows are read. What the base's
        vocabulary does not hold, the base is not given.
        """
        known = [token_id for token_id in ids if token_id < self._engines.vocabulary]
        bases = {name: session.extend(known) if known else NO_ROWS for name, session in self._bases.items()}
        aligned = own or self._aligned_session().extend(ids)
        start = len(self._asked)
        self._asked += ids
        return Asked(self._engines, aligned, bases, start, ids, texts)

    def close(self) -> None:
        """Nothing more will be asked: frees the models' memory."""
        for session in (*self._bases.values(), *([self._aligned] if self._aligned else [])):
            session.close()

    def _aligned_session(self) -> ScoreSession:
        """Opened behind what was asked before."""
        if self._aligned is None:
            context = [*self._aligned_ids, *self._asked]
            self._aligned = self._engines.aligned.open_score(context, self._room - len(self._asked))
        return self._aligned


def open_all(
    engine: Engine, contexts: Mapping[ContextName, Sequence[int]], room: int
) -> dict[ContextName, ScoreSession]:
    """A session for each context, or none at all where one of them fails or is stopped."""
    opened: dict[ContextName, ScoreSession] = {}
    try:
        for name, ids in contexts.items():
            opened[name] = engine.open_score(ids, room)
    except BaseException:
        for session in opened.values():
            session.close()
        raise
    return opened


class Asked:
    """A stretch of the answer that is being scored."""

    def __init__(
        self,
        engines: PairEngines,
        aligned: LogitRows | TopRows,
        bases: Mapping[ContextName, LogitRows | TopRows],
        start: int,
        ids: Sequence[int],
        texts: Sequence[str],
    ) -> None:
        self._engines = engines
        self._aligned = aligned
        self._bases = bases
        self._start = start
        self._ids = ids
        self._texts = texts
        self._known = [i for i, token_id in enumerate(ids) if token_id < engines.vocabulary]

    def is_ready(self) -> bool:
        """Whether `rows` needs no waiting for a server."""
        sides = [(self._engines.aligned, self._aligned), *((self._engines.base, rows) for rows in self._bases.values())]
        return all(engine.capabilities.has_logits or cast(TopRows, rows).is_ready() for engine, rows in sides)

    def rows(self) -> Rows:
        """Raises EngineError where a server failed, ValueError for broken logits."""
        return make_rows(self._engines.aligned, self._bounded(), self._start, self._ids, self._texts)

    def _bounded(self) -> dict[ContextName, BoundedStatistics]:
        aligned, count = self._aligned_told(), len(self._ids)
        known, vocabulary = [self._ids[i] for i in self._known], self._engines.vocabulary
        found = {}
        for name, rows in self._bases.items():
            told = rows_told(self._engines.base, rows, known, vocabulary) if known else []
            base = with_foreign_rows(told, self._known, count)
            found[name] = bounded_statistics(aligned, base, self._ids, TOP)
        return found

    def _aligned_told(self) -> list[ToldRow]:
        """The aligned model's rows of all positions; over its own vocabulary for tokens that the base does not know."""
        engine, told = self._engines.aligned, []
        if not engine.capabilities.has_logits:
            return rows_told(engine, self._aligned, self._ids, self._engines.vocabulary)
        for is_known, indices in groupby(range(len(self._ids)), key=set(self._known).__contains__):
            stretch = [*indices]
            rows, ids = SomeRows(cast(LogitRows, self._aligned), stretch), [self._ids[i] for i in stretch]
            told += rows_told(engine, rows, ids, self._engines.vocabulary if is_known else engine.vocabulary_size)
        return told


def make_rows(
    engine: Engine, found: Mapping[ContextName, ShiftStatistics], start: int, ids: Sequence[int], texts: Sequence[str]
) -> Rows:
    """Rows of the record for positions from `start` on, from the columns of each context."""
    return {
        name: tuple(
            make_row(engine, columns, index, start + index, token_id, text)
            for index, (token_id, text) in enumerate(zip(ids, texts, strict=True))
        )
        for name, columns in found.items()
    }


def make_row(engine: Engine, found: ShiftStatistics, index: int, position: int, token_id: int, text: str) -> TokenShift:
    """One row of the record from the statistics' columns."""
    return TokenShift(
        position=position,
        id=token_id,
        text=text,
        base_rank=found.base_rank[index],
        shift_class=classify(found.base_rank[index]),
        base_probability=found.base_probability[index],
        aligned_probability=found.aligned_probability[index],
        aligned_rank=found.aligned_rank[index],
        kl=found.kl[index],
        js=found.js[index],
        switch_point=found.switch_point[index],
        is_special=engine.is_special(token_id),
        base_top=named(engine, found.base_top[index]),
        aligned_top=named(engine, found.aligned_top[index]),
        uncovered=found.uncovered[index] if isinstance(found, BoundedStatistics) else None,
        reason=found.unscored.get(index),
    )


def named(engine: Engine, entries: Sequence[tuple[int, float]]) -> list[TopEntry]:
    return [(token_id, engine.token_text(token_id), probability) for token_id, probability in entries]
