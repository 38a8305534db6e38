"""Where a task runs: in this process, or in the worker process that ZeroGPU lends for one call.

On ZeroGPU a decorated generator runs in a forked worker: its arguments and what it yields are pickled, and a lock or an
event of this process means nothing there, and an exception comes back as the name of its class. So engines are found by
name in what the fork inherited, stops are files, and errors travel as values. Everywhere else `spaces.GPU`, where it is
installed at all, gives the function back as it is. Knows `spaces` by name, and of Gradio the error with which it
refuses; nothing about pages.
"""

from __future__ import annotations

import html
import importlib.util
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import torch

from urial.compare.events import Event
from urial.compare.request import Control
from urial.compare.steering_events import SteeringEvent
from urial.engines.pair import PairEngines
from urial.errors import EngineError, UrialError
from urial.records import SideName
from urial.ui.tasks import Task

HOME = os.getpid()  # the process that was there before any fork
SECONDS = 120  # asked of ZeroGPU for one call; a visitor's quota pays for what is used
INHERITED: dict[str, PairEngines] = {}  # engines by pair, put here before the first fork

Perform = Callable[[str, PairEngines, Task, Control], Generator[Event | SteeringEvent]]
Function = TypeVar("Function", bound=Callable[..., Any])


class FileControl(Control):
    """A control whose stops another process sees: one empty file for each side that is stopped."""

    def __init__(self, folder: str | None = None) -> None:
        """Without a folder it makes one, which goes when the control does."""
        super().__init__()
        self.folder = folder or tempfile.mkdtemp(prefix="urial-stops-")
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def stop(self, side: SideName) -> None:
        super().stop(side)
        if os.path.isdir(self.folder):
            Path(self.folder, side).touch()

    def stop_all(self) -> None:
        for side in ("base", "aligned"):
            self.stop(side)

    def is_stopped(self, side: SideName) -> bool:
        return super().is_stopped(side) or os.path.exists(os.path.join(self.folder, side))


def is_zero_gpu(environment: dict[str, str] | os._Environ[str] = os.environ) -> bool:
    """Whether this is a ZeroGPU Space, by the variable that `spaces` itself reads."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "true", "t") and has_spaces()


def has_spaces() -> bool:
    return importlib.util.find_spec("spaces") is not None


def on_gpu(function: Function) -> Function:
    """The function behind `spaces.GPU` where that package is installed."""
    if not has_spaces():
        return function
    import spaces

    return spaces.GPU(duration=SECONDS)(function)


def inherited_events(pair: str, task: Task, folder: str) -> Generator[Event | SteeringEvent | UrialError]:
    """A task on engines that this process inherited; plain values in and out, an error in place of what it ended."""
    keep_to_one_thread()
    try:
        yield from task.events(INHERITED[pair], FileControl(folder))
    except UrialError as error:
        yield error


def keep_to_one_thread() -> None:
    """In a forked worker, before any other call of torch: work on the processor stays in the calling thread.

    A fork copies the state of the parent's OpenMP threads but not the threads: a parallel region would wait for them
    for ever. In the process that imported this module nothing changes.
    """
    if os.getpid() != HOME:
        torch.set_num_threads(1)


def perform_here(pair: str, engines: PairEngines, task: Task, control: Control) -> Generator[Event | SteeringEvent]:
    """In this process, in the calling thread."""
    yield from task.events(engines, control)


def perform_on_lent_gpu() -> Perform:
    """In ZeroGPU's worker. Called once, before the launch, so that `spaces` sees the decorated function."""
    decorated = on_gpu(inherited_events)

    def perform(pair: str, engines: PairEngines, task: Task, control: Control) -> Generator[Event | SteeringEvent]:
        if not isinstance(control, FileControl):
            raise TypeError("ZeroGPU needs a control that another process can read")
        return unpacked(decorated(pair, task, control.folder))

    return perform


def unpacked(sent: Generator[Event | SteeringEvent | UrialError]) -> Generator[Event | SteeringEvent]:
    """The worker's events; raises the error that it sent, and EngineError where ZeroGPU lends nothing or fails."""
    with closing(sent):
        try:
            for event in sent:
                if isinstance(event, UrialError):
                    raise event
                yield event
        except gr.Error as error:
            raise EngineError(refusal(error)) from error


def refusal(error: gr.Error) -> str:
    """What `spaces` says, as one line of plain text: its messages may hold links as HTML."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", f"{error.title}: {error.message}"))
    return " ".join(text.split())
