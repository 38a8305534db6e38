"""What the dial costs beside one answer, and what switch points add to the statistics that they are a column of.

Endings are left out, so that every answer is as long.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from urial.bench.decode import Row, row
from urial.bench.growth import timed
from urial.bench.workload import QUERIES, Workload, endless_engines
from urial.compare.dial import POSITIONS, can_scale, dial
from urial.compare.request import Request, make_prompts
from urial.engines.pair import PairEngines
from urial.engines.sampling import first_greatest
from urial.shift import statistics as shift
from urial.shift.numba_backend import switch_point
from urial.steering_records import DialKind

ROUNDS = 3
SCORED = 64  # positions whose statistics are timed


def by_steering(work: Workload) -> Iterator[Row]:
    """Medians of rounds in turns."""
    engines = endless_engines(work)
    request = work.request(QUERIES[0])
    kinds: tuple[DialKind, ...] = ("logits", "adapter") if can_scale(engines) else ("logits",)
    for kind in kinds:
        yield from dial_rows(engines, request, kind)
    whole, part = statistics_seconds(work, engines, request)
    yield row(f"statistics of {SCORED} positions, two contexts", 1000 * whole, "ms")
    yield row("switch points among them", 1000 * part, "ms")
    yield row("switch points on top of the rest", 100 * part / (whole - part), "%")


def dial_rows(engines: PairEngines, request: Request, kind: DialKind) -> Iterator[Row]:
    """Five positions beside the aligned answer alone, which nothing follows, and beside one position."""

    def five() -> None:
        list(dial(engines, request, POSITIONS, kind=kind))

    def one() -> None:
        list(dial(engines, request, (0.5,), kind=kind))

    def answer() -> None:
        ids = make_prompts(engines, request).aligned_ids
        list(engines.aligned.generate(ids, request.sampling("aligned")))

    calls = {"five": five, "one": one, "answer": answer}
    for call in calls.values():
        call()  # prompts are read, loops are compiled
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            seconds[name].append(timed(call)[0])
    found = {name: statistics.median(times) for name, times in seconds.items()}
    yield row(f"{kind}: five positions", found["five"], "s")
    yield row(f"{kind}: five positions over the aligned answer alone", found["five"] / found["answer"], "times")
    yield row(f"{kind}: five positions over one, at 0.5", found["five"] / found["one"], "times")


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Logits [T, V] that are there."""

    rows: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        return self.rows[start:stop]


def statistics_seconds(work: Workload, engines: PairEngines, request: Request) -> tuple[float, float]:
    """Of the aligned answer's own rows: all statistics, and its switch points alone as the processor makes them."""
    prompts = make_prompts(engines, request)
    sampling = replace(request.sampling("aligned"), max_new_tokens=SCORED)
    ids = [piece.id for piece in engines.aligned.generate(prompts.aligned_ids, sampling)]
    aligned = rows_of(work.loaded.aligned.model, prompts.aligned_ids, ids)
    bases = {name: rows_of(work.loaded.base.model, context, ids) for name, context in prompts.context_ids.items()}
    sources = {name: HeldRows(rows) for name, rows in bases.items()}
    score = partial(shift.statistics, HeldRows(aligned), sources, ids, vocabulary=engines.vocabulary)
    needed = [each for base in bases.values() for each in pairs_of_rows(aligned, base, ids)]
    score()
    whole = [timed(score)[0] for _ in range(ROUNDS)]
    part = [timed(lambda: [switch_point(*each) for each in needed])[0] for _ in range(ROUNDS)]
    return statistics.median(whole), statistics.median(part)


def pairs_of_rows(
    aligned: torch.Tensor, base: torch.Tensor, ids: list[int]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], int]]:
    """Where the statistics make a switch point: the token is the aligned model's first choice and not the base's."""
    for ours, theirs, token in zip(aligned, base, ids, strict=True):
        if int(first_greatest(ours[None])) == token and theirs[token] < theirs.max():
            yield ours.numpy(), theirs.numpy(), token


@torch.inference_mode()
def rows_of(model: torch.nn.Module, prompt: list[int], ids: list[int]) -> torch.Tensor:
    """Logits before each token of an answer, float32 [T, V]."""
    found = model(torch.tensor([[*prompt, *ids]]), logits_to_keep=len(ids) + 1).logits
    return found[0, :-1].float()
