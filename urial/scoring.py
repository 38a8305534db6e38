"""The shift of an aligned answer while it grows: both models read it, `shift` compares, rows come out.

Knows engines and the statistics; nothing about who generates the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from urial import shift
from urial.engines.base import Engine
from urial.engines.pair import PairEngines
from urial.errors import MismatchError
from urial.records import ContextName, TokenShift, TopEntry, classify

TOP = 10  # entries in the lists of alternatives (design, section 6)
CHUNK = 16  # aligned tokens scored at once while streaming: each chunk costs about one reading of the weights

Rows = dict[ContextName, tuple[TokenShift, ...]]


class Scoring:
    """Rows for one answer, in every context, in order of position."""

    def __init__(
        self, engines: PairEngines, aligned_ids: Sequence[int], contexts: Mapping[ContextName, Sequence[int]]
    ) -> None:
        self._engines = engines
        self._aligned = engines.aligned.open_score(aligned_ids)
        self._bases = {name: engines.base.open_score(ids) for name, ids in contexts.items()}
        self._position = 0

    def advance(self, ids: Sequence[int], texts: Sequence[str]) -> Rows:
        """Rows for the next answer tokens, `texts` aligned to `ids`. Raises MismatchError for a token of one model only."""
        self._check_shared(ids)
        bases = {name: session.extend(ids) for name, session in self._bases.items()}
        aligned = self._aligned.extend(ids)
        found = shift.statistics(aligned, bases, ids, vocabulary=self._engines.vocabulary, top=TOP)
        start, self._position = self._position, self._position + len(ids)
        return {name: self._rows(found[name], start, ids, texts) for name in self._bases}

    def _check_shared(self, ids: Sequence[int]) -> None:
        alone = [token_id for token_id in ids if token_id >= self._engines.vocabulary]
        if alone:
            raise MismatchError(
                f"The aligned model wrote token {alone[0]}, which the base does not have, so it has no base rank; "
                "choose siblings with the same vocabulary."
            )

    def _rows(
        self, found: shift.ShiftStatistics, start: int, ids: Sequence[int], texts: Sequence[str]
    ) -> tuple[TokenShift, ...]:
        engine = self._engines.aligned
        return tuple(make_row(engine, found, i, start + i, ids[i], texts[i]) for i in range(len(ids)))


def make_row(
    engine: Engine, found: shift.ShiftStatistics, index: int, position: int, token_id: int, text: str
) -> TokenShift:
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
    )


def named(engine: Engine, entries: Sequence[tuple[int, float]]) -> list[TopEntry]:
    return [(token_id, engine.token_text(token_id), probability) for token_id, probability in entries]
