"""The shift where a model tells only its most probable tokens: exact where told, proven bounds elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from urial.engines.base import Engine, LogitRows, NoRow, ToldRow, TopRow, TopRows
from urial.records import UnscoredReason
from urial.shift import statistics as shift
from urial.shift.bounds import Known, lower_bound
from urial.shift.statistics import ShiftStatistics

LISTED = 100  # entries that a local model sets against a server's list: a longer list gives a closer bound


@dataclass(frozen=True, slots=True)
class BoundedStatistics(ShiftStatistics):
    """As exact ones, but `kl` and `js` are lower bounds; `uncovered` is the mass that the bounds could not see."""

    uncovered: list[float | None] = field(default_factory=list)

    def leave_out(self, reason: UnscoredReason, *aligned: Any) -> None:
        ShiftStatistics.leave_out(self, reason, *aligned)  # `super()` knows no class with slots
        self.uncovered.append(None)


def rows_told(engine: Engine, rows: LogitRows | TopRows, ids: Sequence[int], vocabulary: int) -> list[ToldRow]:
    """For each of T `ids`: its rank, its probability and the top list, or why there is none. Raises EngineError.

    A model with logits gives the LISTED most probable tokens, as a server would.
    """
    if not engine.capabilities.has_logits:
        return cast(TopRows, rows).rows()
    rows = cast(LogitRows, rows)
    alone = shift.statistics(rows, {"": rows}, ids, vocabulary=vocabulary, top=LISTED)[""]
    columns = zip(alone.base_rank, alone.base_probability, alone.base_top, strict=True)
    return [TopRow(cast(int, rank), cast(float, p), tuple(top)) for rank, p, top in columns]


def bounded_statistics(
    aligned: Sequence[ToldRow], base: Sequence[ToldRow], ids: Sequence[int], top: int
) -> BoundedStatistics:
    """One context: the columns of `shift.statistics`, `top` entries a list.

    A position of which either model told nothing that can be used is not scored.
    """
    found = BoundedStatistics()
    for p, q, token_id in zip(aligned, base, ids, strict=True):
        if isinstance(p, NoRow):
            found.leave_out(p.reason)
            continue
        if isinstance(q, NoRow):
            found.leave_out(q.reason, p.rank, p.probability, p.top[:top])
            continue
        bound = lower_bound(Known.of(token_id, p.probability, p.top), Known.of(token_id, q.probability, q.top))
        found.base_rank.append(q.rank)
        found.aligned_rank.append(p.rank)
        found.base_probability.append(q.probability)
        found.aligned_probability.append(p.probability)
        found.kl.append(bound.kl)
        found.js.append(bound.js)
        found.switch_point.append(None)  # a rival may be in neither list
        found.base_top.append(list(q.top[:top]))
        found.aligned_top.append(list(p.top[:top]))
        found.uncovered.append(bound.uncovered)
    return found
