"""What the scheduler needs of a model: one forward pass over a ragged batch, some tokens of each of some sequences.

`torch_runner.py` runs any transformers family, `compiled_cpu/` the usual decoders on a processor,
`cuda_graph_runner.py` one-token passes as CUDA graphs; `choose_runner.py` says which model gets which.
Shapes: R wanted rows of a chunk, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes into one forward pass, and how far apart the sequences of one answer may be. As given here, for a
    processor."""

    sequences: int = 16  # in one pass: beyond it a step gets slower about as fast as rows are added
    tokens: int = 64  # of prompts and given answers in one pass: states stay in a core's cache, nobody waits long
    held_rows: int = 32  # logits that a sequence may be ahead of the slowest one that reads the same answer
    compared_rows: int = 1  # positions worth comparing while an answer is written


def limits_on(model: PreTrainedModel) -> Limits:
    """On a GPU it is launches that cost: of a pass over few tokens, of statistics over few rows."""
    if model.device.type != "cuda":
        return Limits()
    rows = gpu_rows(model.device, model.config.get_text_config().vocab_size)
    return Limits(sequences=32, tokens=min(2048, 4 * rows), held_rows=min(1024, rows), compared_rows=8)


def gpu_rows(device: torch.device, width: int) -> int:
    """How many rows of float32 numbers take a 256th of a GPU's memory, and 256 MiB at most; 32 at least."""
    share = min(2**28, torch.cuda.get_device_properties(device).total_memory // 256)
    return max(Limits().held_rows, share // (4 * width))


class SequenceCache(Protocol):
    """Keys and values of one sequence, wherever its runner keeps them."""

    @property
    def nbytes(self) -> int: ...


C = TypeVar("C", bound=SequenceCache)


@dataclass(frozen=True, slots=True)
class Prefix(Generic[C]):
    """The first `length` tokens that a cache holds."""

    cache: C
    length: int


@dataclass(frozen=True, slots=True)
class Chunk(Generic[C]):
    """The next tokens of one sequence, one or more, that follow what its cache holds."""

    cache: C
    tokens: Sequence[int]
    rows: int  # logits are wanted after each of the last `rows` tokens; 0 where the text goes on anyway
    adapter: float  # factor of the low-rank part: 0 is the base, 1 the aligned model


class Runner(Protocol[C]):
    """A model, ready to run. Used by one thread at a time."""

    can_rewind: bool  # `open` takes any number of tokens that a cache holds; if False only all of them
    limits: Limits
    worth_reading: int  # answer tokens that a sequence which only follows waits for: 1 where rows go together cheaply

    def open(self, capacity: int, prefix: Prefix[C] | None) -> C:
        """A cache for `capacity` tokens that begins with those of `prefix`, which stays as it is.

        Raises EngineError or MemoryError where there is no room.
        """
        ...

    def forward(self, batch: Sequence[Chunk[C]]) -> Sequence[torch.Tensor]:
        """Reads the tokens into their caches; float32 logits [rows, V] for each chunk.

        Where it raises, nothing has been read, and the caches are as before.
        """
        ...

    def close(self, cache: C) -> None:
        """The cache will not be used again, except as a prefix."""
        ...


def side_by_side(batch: Sequence[Chunk[Any]]) -> tuple[list[int], list[int], list[float]]:
    """The N tokens of a pass, with the position of each in its sequence and the factor of its adapter.

    For caches that tell their `length`.
    """
    tokens = [token for chunk in batch for token in chunk.tokens]
    positions = [chunk.cache.length + ahead for chunk in batch for ahead in range(len(chunk.tokens))]
    factors = [chunk.adapter for chunk in batch for _ in chunk.tokens]
    return tokens, positions, factors


def wanted_rows(batch: Sequence[Chunk[Any]]) -> list[int]:
    """Which of the N tokens of a pass are followed by logits that somebody wants."""
    wanted: list[int] = []
    stop = 0
    for chunk in batch:
        stop += len(chunk.tokens)
        wanted += range(stop - chunk.rows, stop)
    return wanted
