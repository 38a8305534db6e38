"""A live page over two tiny random models: everything real but the weights."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import gradio as gr
import pytest

from tests.support import tiny
from tests.support.records_builder import build as build_record
from urial.engines.pair import PairEngines
from urial.gallery import Entry
from urial.pairs import ModelSpec, Pair
from urial.ui.model_pool import ModelPool, Progress
from urial.ui.page import AppState, build, launch_arguments
from urial.ui.service import Service

# What Gradio itself does: its queue uses what pandas has deprecated, and it drops event loops that it has made.
GRADIO_WARNS = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.filterwarnings("ignore:unclosed (event loop|<socket):ResourceWarning"),
]


def tiny_pair(name: str = "tiny") -> Pair:
    """An entry as `models.yaml` would have it; its folders are never opened."""
    spec = ModelSpec(folder="nowhere")
    return Pair(name=name, title=f"Tiny random models ({name})", base=spec, aligned=spec, licence="none")


def open_tiny(pair: Pair, progress: Progress) -> PairEngines:
    progress("Making tiny models", 0.5)
    return long_pair()


@cache
def long_pair() -> PairEngines:
    """The same for all tests."""
    return new_long_pair()


def new_long_pair() -> PairEngines:
    """Tiny siblings that read a whole URIAL prompt and write until the limit: tests decide when an answer ends."""
    pair = tiny.pair("llama")
    for engine in (pair.base, pair.aligned):
        engine.context_length = 8192  # rotary positions have no end of their own
        engine.ends = frozenset()
    return pair


def tiny_service(
    open_pair: Callable[[Pair, Progress], PairEngines] = open_tiny, names: tuple[str, ...] = ("tiny",)
) -> Service:
    return Service(ModelPool({name: tiny_pair(name) for name in names}, open_pair))


@dataclass(frozen=True, slots=True)
class Live:
    url: str
    service: Service
    blocks: gr.Blocks


@contextmanager
def live(service: Service, launch: dict[str, object] | None = None, **state: object) -> Iterator[Live]:
    """Serve a page on a free port, and close it; `state` and `launch` change what `app.py` would give."""
    blocks = build(AppState(service, next(iter(service.models.pairs)), **state))
    arguments = {**launch_arguments(), **(launch or {})}
    try:
        _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **arguments)
        yield Live(url.rstrip("/"), service, blocks)
    finally:
        blocks.close()
        del blocks
        sweep()


def sweep() -> None:
    """Collect the event loops that Gradio dropped, here and not in a later test that has nothing to do with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.set_event_loop(None)
        gc.collect()


def write_gallery(folder: Path) -> Path:
    """Two recordings, the second of two turns."""
    first, second = build_record(), build_record(query="And another?", seed=1)
    for number, turns in enumerate(([first], [first, second])):
        entry = Entry(
            title=f"Recording {number}",
            topic="advice",
            look_at="Look at the greeting.",
            recorded_at="2026-01-02T03:04:05+00:00",
            turns=turns,
        )
        (folder / f"{number:02}.json").write_text(entry.model_dump_json(by_alias=True), encoding="utf-8")
    return folder


if __name__ == "__main__":
    with live(tiny_service(), {"server_port": 7999}) as page:
        print(page.url, flush=True)
        threading.Event().wait()
