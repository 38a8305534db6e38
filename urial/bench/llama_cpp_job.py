"""llama.cpp doing our whole job: two answers, and both contexts scored over the whole vocabulary.

Its servers tell no logits of a prompt, so its C interface is called: each answer greedily behind its own prompt, then
the aligned answer read in one pass behind each context of the base; ranks and KL by numpy from the logits of all
positions. The library is the one in xllamacpp, its declarations are those of llama-cpp-py-sync, of a build of llama.cpp
that is one commit older. Beginnings of prompts stay read, as in its server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from urial.bench.contestants import Found
from urial.bench.llama_cpp import Files
from urial.bench.measure import SAME_JOB, same_start
from urial.bench.workload import Workload
from urial.compare.request import make_prompts
from urial.engines.pair import PairEngines
from urial.errors import SettingsError
from urial.records import ContextName

Floats = NDArray[np.float32]
POSITIONS = 4096  # a sequence's room
TOKENS_AT_ONCE = 2048
GENERATED, SCORED = range(2)  # a side's two sequences


class LlamaCppJob:
    """Runs in a process of its own, as `LlamaCpp` does."""

    name = SAME_JOB

    def __init__(self, work: Workload, engines: PairEngines, files: Files, threads: int) -> None:
        self._work, self._engines = work, engines
        self._process = ProcessPoolExecutor(1, get_context("spawn"), initializer=open_sides, initargs=(files, threads))
        self._process.submit(len, "").result()  # opened now, not within the first timing

    def run(self, query: str) -> Found:
        prompts = make_prompts(self._engines, self._work.request(query))
        given = prompts.base_ids, prompts.aligned_ids, dict(prompts.context_ids), self._work.new_tokens
        return self._process.submit(do_job, *given).result()


def declarations() -> Any:
    """llama.cpp's C interface for cffi; the package itself would load a library of its own. Raises SettingsError."""
    package = find_spec("llama_cpp_py_sync")
    if package is None or package.origin is None or find_spec("xllamacpp") is None:
        raise SettingsError("llama.cpp is not installed; run: pip install -r requirements-bench.txt")
    spec = spec_from_file_location("llama_cpp_declarations", Path(package.origin).with_name("_cffi_bindings.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ffi


# In the other process

SIDES: list[Side] = []


def open_sides(files: Files, threads: int) -> None:
    """The base's side, then the aligned one's; over one model where an adapter makes the difference."""
    ffi = declarations()
    folder = Path(find_spec("xllamacpp").origin).parent  # type: ignore[union-attr,arg-type]  # it was found
    library = ffi.dlopen(str(next(folder.glob("xllamacpp*.so"))))
    models = [load_model(ffi, library, path) for path in files.models]
    SIDES.append(Side(ffi, library, models[0], threads))
    SIDES.append(Side(ffi, library, models[-1], threads))
    if files.adapter is not None:
        SIDES[1].put_on(files.adapter)


def load_model(ffi: Any, library: Any, path: Path) -> Any:
    model = library.llama_model_load_from_file(str(path).encode(), library.llama_model_default_params())
    if model == ffi.NULL:
        raise SettingsError(f"llama.cpp cannot read {path.name}.")
    return model


class Side:
    """One model, maybe with an adapter, and two sequences whose beginnings it keeps."""

    def __init__(self, ffi: Any, library: Any, model: Any, threads: int) -> None:
        self._ffi, self._library, self._model = ffi, library, model
        options = library.llama_context_default_params()
        options.n_ctx, options.n_seq_max = 2 * POSITIONS, 2
        options.n_batch, options.n_ubatch = TOKENS_AT_ONCE, 512
        options.n_threads = options.n_threads_batch = threads
        options.swa_full = True  # else nothing could be taken back from behind a window
        self._context = library.llama_init_from_model(model, options)
        self._memory = library.llama_get_memory(self._context)
        self._vocabulary = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
        self._batch = library.llama_batch_init(TOKENS_AT_ONCE, 0, 1)
        self._held: dict[int, list[int]] = {GENERATED: [], SCORED: []}

    def put_on(self, adapter: Path) -> None:
        self._adapters = self._ffi.new("struct llama_adapter_lora *[1]")
        self._adapters[0] = self._library.llama_adapter_lora_init(self._model, str(adapter).encode())
        scales = self._ffi.new("float[1]", [1.0])
        self._library.llama_set_adapters_lora(self._context, self._adapters, 1, scales)

    def write(self, prompt: Sequence[int], count: int, logits: Floats | None = None) -> list[int]:
        """A greedy answer of `count` tokens; its rows of logits go into `logits` [count, V] where it is given."""
        answer: list[int] = []
        for position in range(count):
            (row,) = self._read([*prompt, *answer], GENERATED, rows=1)
            if logits is not None:
                logits[position] = row
            answer.append(int(row.argmax()))
        return answer

    def score(self, context: Sequence[int], answer: Sequence[int]) -> list[Floats]:
        """Rows [V] that predict each token of an answer behind a context."""
        return self._read([*context, *answer[:-1]], SCORED, rows=len(answer))

    def rows(self, count: int) -> Floats:
        """Room for logits [count, V]."""
        return np.empty((count, self._vocabulary), np.float32)

    def _read(self, tokens: list[int], sequence: int, rows: int) -> list[Floats]:
        """The logits after each of the last `rows` tokens; what the sequence holds of their beginning is kept."""
        known = min(same_start(self._held[sequence], tokens), len(tokens) - rows)
        self._library.llama_memory_seq_rm(self._memory, sequence, known, -1)
        found: list[Floats] = []
        for start in range(known, len(tokens), TOKENS_AT_ONCE):
            part = tokens[start : start + TOKENS_AT_ONCE]
            wanted = [position >= len(tokens) - rows for position in range(start, start + len(part))]
            found += self._decode(part, start, sequence, wanted)
        self._held[sequence] = tokens
        return found

    def _decode(self, tokens: list[int], start: int, sequence: int, wanted: list[bool]) -> list[Floats]:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index], batch.logits[index] = token, start + index, wanted[index]
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
        code = self._library.llama_decode(self._context, batch)
        if code:
            raise SettingsError(f"llama.cpp cannot read {len(tokens)} tokens (code {code}).")
        return [self._row(index) for index, is_wanted in enumerate(wanted) if is_wanted]

    def _row(self, index: int) -> Floats:
        """The logits after a token of the last batch, where llama.cpp keeps them until the next one."""
        row = self._library.llama_get_logits_ith(self._context, index)
        return np.frombuffer(self._ffi.buffer(row, 4 * self._vocabulary), np.float32)


def do_job(
    base_ids: Sequence[int], aligned_ids: Sequence[int], contexts: Mapping[ContextName, Sequence[int]], count: int
) -> Found:
    """Both answers of `count` tokens, and the aligned one's base ranks in each context."""
    base, aligned = SIDES
    written = base.write(base_ids, count)
    own = aligned.rows(count)
    answer = aligned.write(aligned_ids, count, own)
    ranks: dict[ContextName, list[int | None]] = {}
    for name, context in contexts.items():
        rows = [statistics(row, own[t], answer[t]) for t, row in enumerate(base.score(context, answer))]
        ranks[name] = [rank for rank, _ in rows]
    return Found(written, answer, ranks)


def statistics(base: Floats, aligned: Floats, token: int) -> tuple[int, float]:
    """The token's rank under the base and KL (nats) of the aligned model from the base, from logits [V] of both."""
    rank = 1 + int(np.count_nonzero(base > base[token]))
    above, below = aligned - aligned.max(), base - base.max()
    powers = np.exp(above)
    total = powers.sum()
    gap = np.dot(powers, above - below) / total
    return rank, float(gap - np.log(total) + np.log(np.exp(below).sum()))
