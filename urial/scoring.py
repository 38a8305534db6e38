"""The shift of an aligned answer while it grows: both models read it, the statistics compare, rows come out.

Knows engines by what they can tell, and the statistics; nothing about who generates the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from urial import shift
from urial.engines.base import Engine, LogitRows, TopRow, TopRows
from urial.engines.head import together
from urial.engines.pair import PairEngines
from urial.errors import MismatchError
from urial.lists import BoundedStatistics, bounded_statistics, rows_told
from urial.records import ContextName, TokenShift, TopEntry, classify
from urial.shift import ShiftStatistics

ALIGNED = "aligned"
TOP = 10  # entries in the lists of alternatives (design, section 6)
FIRST_REREAD = 64  # the first chunk where each one costs a reading of the context too

Rows = dict[ContextName, tuple[TokenShift, ...]]


def next_chunk(engines: PairEngines, done: int) -> int:
    """How many new tokens to wait for before scoring again.

    Where every chunk means reading the context again, each is as long as all before it: T tokens take about
    log2(T / 64) + 1 readings, and no token is read more than twice as often as in one go.
    """
    return max(FIRST_REREAD, done) if engines.rereads_context else engines.chunk


class Scoring:
    """Rows for one answer, in every context, in order of position."""

    def __init__(
        self, engines: PairEngines, aligned_ids: Sequence[int], contexts: Mapping[ContextName, Sequence[int]]
    ) -> None:
        self._engines = engines
        self._aligned = engines.aligned.open_score(aligned_ids)
        self._bases = {name: engines.base.open_score(ids) for name, ids in contexts.items()}
        self._position = 0

    def ask(self, ids: Sequence[int], texts: Sequence[str], own: Sequence[TopRow | None] = ()) -> Asked:
        """Begin on the next answer tokens, `texts` aligned to `ids`; `own`: the rows of one that `tells_own`.

        Servers get all requests at once; a local model does its part when the rows are read. Raises MismatchError for
        a token that only one model has.
        """
        self._check_shared(ids)
        bases = {name: session.extend(ids) for name, session in self._bases.items()}
        told = [row for row in own if row is not None]
        aligned = Told(told) if len(told) == len(ids) else self._aligned.extend(ids)
        start, self._position = self._position, self._position + len(ids)
        return Asked(self._engines, aligned, bases, start, ids, texts)

    def _check_shared(self, ids: Sequence[int]) -> None:
        alone = [token_id for token_id in ids if token_id >= self._engines.vocabulary]
        if alone:
            raise MismatchError(
                f"The aligned model wrote token {alone[0]}, which the base does not have, so it has no base rank; "
                "choose siblings with the same vocabulary."
            )


class Told:
    """Rows that are here already: the aligned model told them with its answer."""

    def __init__(self, rows: list[TopRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def is_ready(self) -> bool:
        return True

    def rows(self) -> list[TopRow]:
        return self._rows


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
        sources = together({ALIGNED: self._aligned, **self._bases})
        aligned = sources.pop(ALIGNED)
        count = self._engines.vocabulary
        return self._engines.team(lambda: shift.statistics(aligned, sources, self._ids, vocabulary=count, top=TOP))

    def _bounded(self) -> dict[ContextName, BoundedStatistics]:
        ids, vocabulary = self._ids, self._engines.vocabulary
        aligned = rows_told(self._engines.aligned, self._aligned, ids, vocabulary)
        return {
            name: bounded_statistics(aligned, rows_told(self._engines.base, rows, ids, vocabulary), ids, TOP)
            for name, rows in self._bases.items()
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
        is_special=engine.is_special(token_id),
        base_top=named(engine, found.base_top[index]),
        aligned_top=named(engine, found.aligned_top[index]),
        uncovered=found.uncovered[index] if isinstance(found, BoundedStatistics) else None,
    )


def named(engine: Engine, entries: Sequence[tuple[int, float]]) -> list[TopEntry]:
    return [(token_id, engine.token_text(token_id), probability) for token_id, probability in entries]
