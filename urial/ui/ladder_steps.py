"""The ladder of prompts as steps of the page: counts of classes for each prompt, as far as all have been read.

Knows the ladder's events; nothing about Gradio or who draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from urial.compare.events import Failed
from urial.compare.ladder import LadderDone, LadderRows, LadderStarted
from urial.records import Comparison, TokenShift
from urial.render.view import CLASS_SIGNS
from urial.ui.page_steps import Step

Keep = Callable[[int, Comparison], None]  # a rung's number and its record
COUNTED = "umsn"  # unshifted, marginal, shifted, not scored: the view's letters


@dataclass(slots=True)
class Count:
    """Rows of one prompt by class, end tokens left out: `fresh` those that repeat nothing, `every` all."""

    fresh: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    every: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    kl: list[float] = field(default_factory=list)  # nats, of fresh rows that are scored
    rows: int = 0  # end tokens included

    def add(self, row: TokenShift, repeats: bool) -> None:
        self.rows += 1
        if row.is_special:
            return
        sign = CLASS_SIGNS[row.shift_class]
        self.every[sign] += 1
        if not repeats:
            self.fresh[sign] += 1
            if row.kl is not None:
                self.kl.append(row.kl)

    def told(self) -> dict[str, Any]:
        mean = math.fsum(self.kl) / len(self.kl) if self.kl else None
        return {"fresh": self.fresh, "every": self.every, "mean_kl": mean}


class LadderSteps:
    """`ladderStart`, then `ladderTold` with all counts so far each time, `ladderDone` at the end."""

    def __init__(self, earlier: Comparison, keep: Keep) -> None:
        """`keep` gets the record of each prompt, for the view of one in full."""
        self._repeats = earlier.repeated_positions()
        self._keep = keep
        self._counts: dict[int, Count] = {}

    def steps(self, events: Iterable[object]) -> list[Step]:
        found: list[Step] = []
        rows = False
        for event in events:
            match event:
                case LadderStarted(rungs, answer):
                    self._counts = {index: Count() for index, rung in enumerate(rungs) if not rung.problem}
                    told = [
                        {"method": r.method, "examples": r.examples, "tokens": r.tokens, "problem": r.problem}
                        for r in rungs
                    ]
                    found.append(["ladderStart", {"rungs": told, "answer": answer}])
                case LadderRows(rung, new):
                    rows = True
                    for row in new:
                        self._counts[rung].add(row, row.position in self._repeats)
                case LadderDone(records):
                    for index, record in records.items():
                        self._keep(index, record)
                    found += [self._told(), ["ladderDone", {}]]
                    rows = False
                case Failed(_, message):
                    found.append(["refuse", {"message": message}])
        return [*found, self._told()] if rows else found

    def _told(self) -> Step:
        scored = min((count.rows for count in self._counts.values()), default=0)
        return ["ladderTold", {"scored": scored, "rungs": {str(i): count.told() for i, count in self._counts.items()}}]
