"""Scoring an answer that grows: in chunks of a forward pass each, or in step with the answers that are being written.

Both give the rows that predict the answer's tokens. Knows readings and steps; nothing about text or statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from urial.engines.cache import Reading
from urial.engines.head import HiddenRows
from urial.engines.stepper import Steps
from urial.engines.told import GivenRows

CHUNKS = {"cpu": 32, "cuda": 64}  # what is written in a second or two; larger ones cost less a token


class Reader(Protocol):
    """A model that reads several tokens in one forward pass."""

    def forward(self, ids: Sequence[int], cache: object) -> torch.Tensor: ...

    def rows(self, hidden: torch.Tensor) -> HiddenRows: ...


class ChunkSession:
    """One forward pass for each chunk: the context is read once, each answer token once."""

    def __init__(self, model: Reader, reading: Reading) -> None:
        self._model = model
        self._cache = reading.fork()
        self._last = reading.last_hidden
        self.chunk = CHUNKS.get(self._last.device.type, CHUNKS["cpu"])

    def extend(self, answer_ids: Sequence[int]) -> HiddenRows:
        """Rows that predict `answer_ids`: the row before each of them."""
        hidden = self._model.forward(answer_ids, self._cache)
        rows = torch.cat([self._last, hidden[:-1]])
        self._last = hidden[-1:]
        return self._model.rows(rows)

    def close(self) -> None:
        """Nothing to give back: the cache goes with this object."""


class StepSession:
    """One step for each token, together with those of the answers that are being written: one reading of the weights.

    A row is taken when its token is known, so the step that made it was that of the token before.
    """

    chunk = 1

    def __init__(self, first: torch.Tensor, steps: Steps) -> None:
        """`first` are the logits [1, V] after the context."""
        self._first: torch.Tensor | None = first
        self._steps = steps

    def extend(self, answer_ids: Sequence[int]) -> GivenRows:
        """Rows that predict `answer_ids`."""
        return GivenRows([self._row_before(token) for token in answer_ids])

    def _row_before(self, token: int) -> torch.Tensor:
        """The row that predicts a token; from now on the token goes with the next step."""
        row, self._first = self._steps.logits() if self._first is None else self._first, None
        self._steps.put(token)
        return row

    def close(self) -> None:
        self._steps.close()
