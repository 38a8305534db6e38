"""A runner that is watched or held up, and engines over a runner of choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny
from urial.engines.compile_ahead import WORTH_COMPILING
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Chunk, Prefix, Runner
from urial.engines.local.scheduler import scheduler
from urial.engines.local.sequence import SharedModel
from urial.engines.sampling import Sampler
from urial.records import SideName


class Watched:
    """Passes everything on to a runner; remembers each batch, and may be told what to do before one."""

    def __init__(self, runner: Runner[Any], before: Callable[[Sequence[Chunk]], None] = lambda batch: None) -> None:
        self.runner, self.before = runner, before
        self.can_rewind = runner.can_rewind
        self.limits, self.worth_reading = runner.limits, runner.worth_reading
        self.batches: list[list[int]] = []  # how many tokens of each sequence

    def open(self, capacity: int, prefix: Prefix[Any] | None) -> Any:
        return self.runner.open(capacity, prefix)

    def forward(self, batch: Sequence[Chunk]) -> Sequence[torch.Tensor]:
        self.before(batch)
        self.batches.append([len(chunk.tokens) for chunk in batch])
        return self.runner.forward(batch)

    def close(self, cache: Any) -> None:
        self.runner.close(cache)


def chosen(model: PreTrainedModel, worth_compiling: int = WORTH_COMPILING) -> Runner[Any]:
    """The runner that a model of that size gets."""
    held = shared_model(model, "tiny", worth_compiling)
    scheduler().call(held.prepare)
    return held.runner.result()


def shared(runner: Runner[Any]) -> SharedModel:
    made: Future[Runner[Any]] = Future()
    made.set_result(runner)
    return SharedModel(made, PrefixCache(6))


def engine_over(
    runner: Runner[Any] | SharedModel,
    model: PreTrainedModel,
    side: SideName = "base",
    ends: frozenset[int] = frozenset({1, 3}),
) -> LocalEngine:
    """A tiny engine over a runner, or over one that siblings share."""
    held = runner if isinstance(runner, SharedModel) else shared(runner)
    return LocalEngine(model, tiny.tokenizer(), name=side, ends=ends, shared=held, side=side)


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for what another thread does; fails where it is not done in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.002)


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Every token that is chosen within takes at least so long."""
    draw = Sampler.draw

    def slow_draw(sampler: Sampler, scores: torch.Tensor) -> int:
        time.sleep(seconds)
        return draw(sampler, scores)

    monkeypatch.setattr(Sampler, "draw", slow_draw)


class Gate:
    """Holds a runner up before each batch until it is let through."""

    def __init__(self) -> None:
        self._open = threading.Semaphore(0)
        self.waiting = threading.Semaphore(0)

    def __call__(self, batch: Sequence[Chunk]) -> None:
        self.waiting.release()
        assert self._open.acquire(timeout=20)

    def arrived(self) -> None:
        """Wait until a batch stands before the gate."""
        assert self.waiting.acquire(timeout=20)

    def let_through(self, count: int = 1) -> None:
        for _ in range(count):
            self._open.release()
