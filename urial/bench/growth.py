"""How the cost of a comparison grows: with the answer's length, the prompt's length, the vocabulary.

Each function yields one row for each size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch

from urial.bench.contestants import Ours
from urial.bench.workload import QUERIES, Workload, endless_engines
from urial.engines.local.cpu_linear import multiply
from urial.shift import statistics as shift

ANSWERS = (64, 128, 256, 512, 1024, 2048)  # new tokens a side
EXAMPLES = (0, 1, 3, 8)  # K of the base's prompt
VOCABULARIES = (32_768, 65_536, 131_072, 262_144)
WIDTH = 640  # of the hidden states in the vocabulary's table: the embedded pair's
POSITIONS = 64  # answer tokens scored in the vocabulary's table

Row = dict[str, float]
Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and what the call returned."""
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def by_answer(work: Workload, lengths: Sequence[int] = ANSWERS) -> Iterator[Row]:
    """Whole comparisons of T tokens a side, without scoring and with both contexts; the record's bytes."""
    engines = endless_engines(work)
    for length in lengths:
        sized = work.of_length(length)
        bare, _ = timed(partial(Ours(sized, engines, "bare", ()).record, QUERIES[0]))
        whole, record = timed(partial(Ours(sized, engines, "whole", ("zero_shot", "urial")).record, QUERIES[0]))
        size = len(record.model_dump_json(by_alias=True).encode())
        yield {
            "tokens": length,
            "generating s": bare,
            "comparison s": whole,
            "comparison ms a token": 1000 * whole / length,
            "record bytes a token": size / length,
        }


def by_prompt(work: Workload, counts: Sequence[int] = EXAMPLES) -> Iterator[Row]:
    """Seconds to the base's first token with K examples: the first request, and one that finds the prefix read."""
    sized = work.of_length(16)
    for examples in counts:
        ours = Ours(sized, endless_engines(sized), "ours", ())
        first, later = (ours.record(query, examples) for query in QUERIES[:2])
        yield {
            "examples": examples,
            "prompt tokens": len(later.base.prompt_ids),
            "first request s": first.base.first_token_seconds or 0.0,
            "later request s": later.base.first_token_seconds or 0.0,
        }


def by_vocabulary(work: Workload, widths: Sequence[int] = VOCABULARIES) -> Iterator[Row]:
    """One step's head for two rows, and the statistics of a position in two contexts, on random weights."""
    for width in widths:
        aligned, zero_shot, urial = (RandomRows(width, work.device, seed) for seed in range(3))
        score = partial(
            shift.statistics,
            aligned,
            {"zero_shot": zero_shot, "urial": urial},
            list(range(POSITIONS)),
            vocabulary=width,
        )
        score()  # warm
        scoring, _ = timed(score)
        head, _ = timed(partial(aligned.chunk, 0, 2))
        yield {"vocabulary": width, "head ms a step": 1000 * head, "scoring ms a token": 1000 * scoring / POSITIONS}


class RandomRows:
    """Logits of a random head over random hidden states, made when asked for as an engine's are."""

    def __init__(self, vocabulary: int, device: str, seed: int) -> None:
        maker = torch.Generator(device).manual_seed(seed)
        self._weight = torch.randn(vocabulary, WIDTH, generator=maker, device=device) / WIDTH**0.5
        self._hidden = torch.randn(POSITIONS, WIDTH, generator=maker, device=device)

    def __len__(self) -> int:
        return POSITIONS

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        return multiply(self._hidden[start:stop], self._weight)


GROWTH = {"answer": by_answer, "prompt": by_prompt, "vocabulary": by_vocabulary}
