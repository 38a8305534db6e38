"""llama.cpp on the same weights: the two generations alone, greedy.

It is given the pair's own GGUF files, or the weights written as GGUF in the precision that we run (`gguf_model.py`); an
adapter lies on top for the aligned side. Needs requirements-bench.txt. It runs in a process of its own: its threads
would count against ours (`engines/local/scheduler.py`), and ours against its. Each side has a place of its own, so that
both prompts' beginnings stay read and the adapter stays on or off.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from urial.bench.contestants import Found
from urial.bench.gguf_adapter import write_adapter
from urial.bench.gguf_model import write_model
from urial.bench.workload import Workload
from urial.compare.request import make_prompts
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.pairs import ModelSpec
from urial.weights import LoadedModel
from urial.weights.packages import find_package, read_package

ADAPTER = "adapter.gguf"


class LlamaCpp:
    """The server-level interface; a prompt's cache is kept between requests, as it is by default."""

    name = "llama.cpp"

    def __init__(self, work: Workload, engines: PairEngines, threads: int) -> None:
        self._work = work
        self._engines = engines
        self._folder = tempfile.TemporaryDirectory()
        self.files = files_of(work, Path(self._folder.name))
        self._process = open_process(self.files, threads)

    def run(self, query: str) -> Found:
        prompts = make_prompts(self._engines, self._work.request(query))
        for place, ids in enumerate((prompts.base_ids, prompts.aligned_ids)):
            self._complete(ids, place)
        return Found([], [], {})  # it tells text, no ids

    def _complete(self, ids: list[int], place: int) -> None:
        """Place 0 is the base's, without the adapter, and place 1 the aligned side's."""
        request = {
            "id_slot": place,
            **({"lora": [{"id": 0, "scale": float(place)}]} if self.files.adapter else {}),
            "prompt": ids,
            "n_predict": self._work.new_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
        }
        answer = self._process.submit(complete, request, place).result()
        written = answer.get("usage", {}).get("completion_tokens")
        if written != self._work.new_tokens:
            raise SettingsError(f"llama.cpp wrote {written} tokens for {self._work.new_tokens}; it said: {answer}")


@dataclass(frozen=True, slots=True)
class Files:
    """One model for both sides and an adapter for the aligned one, or two models."""

    models: tuple[Path, ...]
    adapter: Path | None


def files_of(work: Workload, folder: Path) -> Files:
    """The pair as GGUF files, written into `folder` unless they are there. Raises SettingsError where it cannot be."""
    base, aligned = work.loaded.base, work.loaded.aligned
    first = model_file(work.pair.base, base, folder / "base.gguf")
    if work.loaded.shares_weights:
        write_adapter(aligned.model, folder / ADAPTER)
        return Files((first,), folder / ADAPTER)
    return Files((first, model_file(work.pair.aligned, aligned, folder / "aligned.gguf")), None)


def model_file(spec: ModelSpec, loaded: LoadedModel, path: Path) -> Path:
    """The model's own GGUF file, or one of its weights as they are loaded."""
    if spec.gguf is not None:
        return Path(spec.gguf)
    if spec.package is not None:
        read_package(find_package(spec.package)).tofile(path)
    else:
        write_model(loaded.model, path)
    return path


def open_process(files: Files, threads: int) -> ProcessPoolExecutor:
    if find_spec("xllamacpp") is None:
        raise SettingsError("llama.cpp is not installed; run: pip install -r requirements-bench.txt")
    process = ProcessPoolExecutor(1, get_context("spawn"), initializer=open_servers, initargs=(files, threads))
    process.submit(len, "").result()  # opened now, not within the first timing
    return process


# In the other process

SERVERS: list[Any] = []


def open_servers(files: Files, threads: int) -> None:
    """One server for both sides, or one a side."""
    import xllamacpp

    for model in files.models:
        options = xllamacpp.CommonParams()
        options.model.path = str(model)
        options.n_ctx = 8192
        options.n_parallel = 2
        if files.adapter is not None:
            on_top = xllamacpp.CommonAdapterLoraInfo()
            on_top.path, on_top.scale = str(files.adapter), 1.0
            options.lora_adapters = [on_top]
        options.cpuparams.n_threads = threads
        options.cpuparams_batch.n_threads = threads
        options.warmup = True
        options.verbosity = -1
        SERVERS.append(xllamacpp.Server(options))


def complete(request: dict[str, Any], place: int) -> dict[str, Any]:
    return SERVERS[min(place, len(SERVERS) - 1)].handle_completions(request)
