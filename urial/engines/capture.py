"""A step that runs again and again over the same tensors, recorded once as a CUDA graph.

One launch in place of a thousand: a step of an 8B model is otherwise bound by the time that its launches take.
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs says what may be captured. Knows nothing about what
the step does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

import torch

log = logging.getLogger(__name__)

Step = Callable[[], torch.Tensor]  # reads and writes tensors that stay where they are; returns a new one
CAPTURING = threading.Lock()  # one capture at a time in a process, whatever models there are
WARM_UPS = 2  # runs before the capture: kernels are chosen and workspaces made at the first


class Capture(Protocol):
    """Makes a step quick to run again."""

    def __call__(self, step: Step) -> Step: ...

    def clear(self) -> None:
        """No step that was captured so far will run again."""


class Plain:
    """Steps run as they are: for devices without graphs."""

    def __call__(self, step: Step) -> Step:
        return step

    def clear(self) -> None:
        """Nothing was made."""


class CudaGraphs:
    """Steps as CUDA graphs over one pool of memory; one that cannot be captured, and all after it, run as they are."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None  # not before it is needed: some hosts get their GPU later
        self._pool: tuple[int, int] | None = None
        self._works = True

    def __call__(self, step: Step) -> Step:
        if not self._works:
            return step
        try:
            with CAPTURING:
                return self._captured(step)
        except RuntimeError as error:  # torch's word for what CUDA refuses; out of memory is one of them
            self._works = False
            reason = str(first_of(error)).strip().split("\n")[0]
            log.warning("this model's step cannot be captured as a CUDA graph, so it decodes more slowly: %s", reason)
            return step

    def clear(self) -> None:
        self._pool = None  # a pool goes with its last graph and cannot be used after that

    def _captured(self, step: Step) -> Step:
        """Other threads may use the GPU meanwhile, but nobody else the step's tensors."""
        with torch.cuda.device(self._device):
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            self._stream = self._stream or torch.cuda.Stream()
            self._stream.wait_stream(torch.cuda.current_stream())
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.stream(self._stream):  # left even where the end of a broken capture raises
                for _ in range(WARM_UPS):
                    step()
                with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                    found = step()
            torch.cuda.current_stream().wait_stream(self._stream)

        def replay() -> torch.Tensor:
            graph.replay()
            return found

        return replay


def first_of(error: BaseException) -> BaseException:
    """Where the trouble began: the end of a broken capture raises an error of its own."""
    return first_of(error.__context__) if error.__context__ else error
