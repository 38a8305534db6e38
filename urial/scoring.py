"""The shift of an aligned answer while it grows: both models read it, the statistics compare, rows come out.

Knows engines by what they can tell, and the statistics; nothing about who generates the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from urial import shift
from urial.engines.base import FIRST_REREAD, Engine, LogitRows, ScoreSession, ToldRow, TopRows
from urial.engines.head import together
from urial.engines.pair import PairEngines
from urial.engines.told import ToldRows
from urial.foreign import SomeRows, with_foreign_columns, with_foreign_rows
from urial.lists import BoundedStatistics, bounded_statistics, rows_told
from urial.records import ContextName, TokenShift, TopEntry, classify
from urial.shift import ShiftStatistics

ALIGNED = "aligned"
NO_ROWS = ToldRows([])
TOP = 10  # entries in the lists of alternatives (design, section 6)

Rows = dict[ContextName, tuple[TokenShift, ...]]


class Scoring:
    """Rows for one answer, in every context, in order of position."""

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
        return all(engine.capabilities.has_logits or rows.is_ready() for engine, rows in sides)

    def rows(self) -> Rows:
        """Raises EngineError where a server failed, ValueError for broken logits."""
        found = self._exact() if self._engines.is_exact else self._bounded()
        count = range(len(self._ids))
        return {
            name: tuple(
                make_row(self._engines.aligned, columns, i, self._start + i, self._ids[i], self._texts[i])
                for i in count
            )
            for name, columns in found.items()
        }

    def _exact(self) -> dict[ContextName, ShiftStatistics]:
        if len(self._known) == len(self._ids):
            return self._compared(self._aligned, self._ids)
        known = [self._ids[i] for i in self._known]
        found = self._compared(SomeRows(self._aligned, self._known), known) if known else {}
        foreign = self._foreign()
        return {
            name: with_foreign_columns(found.get(name, ShiftStatistics()), self._known, foreign, TOP)
            for name in self._bases
        }

    def _compared(self, aligned: LogitRows, ids: Sequence[int]) -> dict[ContextName, ShiftStatistics]:
        sources = together({ALIGNED: aligned, **self._bases})
        aligned = sources.pop(ALIGNED)
        job = partial(shift.statistics, aligned, sources, ids, vocabulary=self._engines.vocabulary, top=TOP)
        return self._engines.team(job)

    def _foreign(self) -> dict[int, ToldRow]:
        """What the aligned model, over its own vocabulary, told of the tokens that the base does not know."""
        indices = [i for i in range(len(self._ids)) if i not in set(self._known)]
        engine, ids = self._engines.aligned, [self._ids[i] for i in indices]
        rows = SomeRows(self._aligned, indices)
        job = partial(rows_told, engine, rows, ids, engine.vocabulary_size)
        return dict(zip(indices, self._engines.team(job), strict=True)) if ids else {}

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
        """The aligned model's rows of all positions."""
        engine, ids = self._engines.aligned, self._ids
        if not engine.capabilities.has_logits or len(self._known) == len(ids):
            return rows_told(engine, self._aligned, ids, self._engines.vocabulary)
        told = self._foreign()
        if known := [ids[i] for i in self._known]:
            rows = rows_told(engine, SomeRows(self._aligned, self._known), known, self._engines.vocabulary)
            told |= dict(zip(self._known, rows, strict=True))
        return [told[i] for i in range(len(ids))]


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
        is_special=engine.is_special(token_id),
        base_top=named(engine, found.base_top[index]),
        aligned_top=named(engine, found.aligned_top[index]),
        uncovered=found.uncovered[index] if isinstance(found, BoundedStatistics) else None,
        reason=found.unscored.get(index),
    )


def named(engine: Engine, entries: Sequence[tuple[int, float]]) -> list[TopEntry]:
    return [(token_id, engine.token_text(token_id), probability) for token_id, probability in entries]
