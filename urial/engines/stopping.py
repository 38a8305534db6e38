"""How work that a model is in the middle of is ended: its caller says when, the work looks now and then.

The caller's question travels by context and not by argument, so that nothing between a comparison and a model's layers
need know of it. What it is asked under raises Stopped; nobody needs the result any more, and nothing is kept of it.
Knows nothing about prompts or comparisons.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from torch.overrides import TorchFunctionMode

T = TypeVar("T")
Check = Callable[[], None]  # raises Stopped where the work is not wanted any more

LOOKS_SECONDS = 0.05  # between two looks of a thread that waits


class Stopped(Exception):
    """The work was ended from outside."""


def go_on() -> None:
    """The check of work that nobody stops."""


_check: ContextVar[Check] = ContextVar("check", default=go_on)


@contextmanager
def stops_when(is_stopped: Callable[[], bool]) -> Iterator[None]:
    """What is done inside, in this thread or for it, ends with Stopped soon after `is_stopped` says so."""

    def check() -> None:
        if is_stopped():
            raise Stopped

    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def after(is_stopped: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """True once `is_stopped` has been so for that long: what would soon be done anyway is let go on."""
    since: list[float] = []

    def is_over() -> bool:
        if is_stopped() and not since:
            since.append(time.monotonic())
        return bool(since) and time.monotonic() - since[0] >= seconds

    return is_over


def current() -> Check:
    """The check of this thread's work, to be taken along to another thread."""
    return _check.get()


@contextmanager
def holding(lock: threading.Lock) -> Iterator[None]:
    """The lock, waited for as long as the work is wanted."""
    check = current()
    while not lock.acquire(timeout=LOOKS_SECONDS):
        check()
    try:
        yield
    finally:
        lock.release()


def result_of(future: Future[T]) -> T:
    """What it gives, waited for as long as the work is wanted."""
    check = current()
    while not future.done():
        check()
        try:
            return future.result(timeout=LOOKS_SECONDS)
        except TimeoutError:
            continue  # of the future itself too: then it is done, and raises below
    return future.result()


class Looking(TorchFunctionMode):
    """Looks before each operation of torch, which runs as it would without: sums stay the same to the last bit."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self._check = check

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self._check()
        return func(*args, **(kwargs or {}))
