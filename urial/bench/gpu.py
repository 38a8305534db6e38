"""Everything that a GPU is measured for, in one command: `bench --gpu --out DIR` writes gpu.json and gpu.md.

Each part stands alone: one that cannot run is told as not measured, with the reason, and the others go on. The machine
needs neither network nor a pair's weights. Knows the rows of the other measurements; nothing about how they are made.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from urial.bench.decode import Row, at_once, by_step, row, step_seconds
from urial.bench.growth import RandomRows
from urial.bench.quantised import by_nf4
from urial.bench.table import rows_as_text
from urial.bench.workload import QUERIES, Workload, endless_engines
from urial.compare.request import make_prompts
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.cuda_graph_runner import CudaGraphRunner
from urial.engines.local.scheduler import scheduler
from urial.errors import SettingsError
from urial.shift import definitions
from urial.shift.choose_backend import arithmetic_for

log = logging.getLogger(__name__)

AT_ONCE = 8
CHECKED = 16  # positions whose statistics are worked out again in float64


def measure_gpu(work: Workload, folder: Path) -> dict[str, Any]:
    """Runs all parts, writes both files, returns what gpu.json holds. Raises SettingsError where it cannot write."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out {folder}: {error.strerror}; choose a folder to write to.") from error
    started = time.perf_counter()
    report: dict[str, Any] = machine(work) | {"parts": {}, "seconds": 0.0}
    for name, part in PARTS.items():  # written after each: a machine that is taken away keeps what there is
        report["parts"][name] = part_rows(partial(part, work))
        report["seconds"] = time.perf_counter() - started
        (folder / "gpu.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
        (folder / "gpu.md").write_text(as_markdown(report), encoding="utf-8")
    return report


def part_rows(part: Callable[[], Iterator[Row]]) -> list[Row]:
    """What it measures, or why it does not."""
    try:
        return list(part())
    except Exception as error:  # whatever a card, its driver or a library trips over
        log.info("a part of the measurement failed", exc_info=True)
        said = " ".join(str(error).split())[:200] or type(error).__name__
        return [{"what": "not measured", "measured": said, "unit": ""}]


def machine(work: Workload) -> dict[str, Any]:
    """What the numbers belong to."""
    on_gpu = work.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(work.device) if on_gpu else f"{work.device}: no GPU was measured",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "shape": work.pair.name,
        "dtype": work.dtype,
        "new_tokens": work.new_tokens,
    }


def checks(work: Workload) -> Iterator[Row]:
    """Statistics of random rows on the device against float64, and whether steps are captured there."""
    width = min(work.loaded.base.model.config.vocab_size, 8192)
    aligned, base = (RandomRows(width, work.device, seed).chunk(0, CHECKED) for seed in (0, 1))
    ids = [(37 * place) % width for place in range(CHECKED)]
    ours, ((theirs, difference),) = arithmetic_for(aligned.device)(aligned, [base], ids, 5)
    ranks, off = 0, 0.0
    for place, (one, other, token) in enumerate(zip(aligned.cpu(), base.cpu(), ids, strict=True)):
        ranks += ours.rank[place] == definitions.rank(one, token)
        ranks += theirs.rank[place] == definitions.rank(other, token)
        exact = definitions.kl(definitions.probabilities(one), definitions.probabilities(other))
        off = max(off, abs(difference.kl[place] - exact))
    yield row("ranks equal to float64", 100 * ranks / (2 * CHECKED), "%")
    yield row("KL off float64 at most", off, "nats")
    held = shared_model(work.loaded.base.model, work.loaded.base.description)
    scheduler().call(held.prepare)
    runner = held.runner.result()  # it has taken a step to be tried
    is_captured = isinstance(runner, CudaGraphRunner) and runner.captures
    yield row("steps captured as CUDA graphs", float(is_captured), "1 is yes")


def static_cache(work: Workload) -> Iterator[Row]:
    """transformers' own fast way: a static cache and a compiled step."""
    model: Any = work.loaded.base.model
    prompts = make_prompts(endless_engines(work), work.request(QUERIES[0]))
    tokens = torch.tensor([prompts.base_ids], device=model.device)
    options = {"attention_mask": torch.ones_like(tokens), "do_sample": False, "eos_token_id": None}

    @torch.inference_mode()
    def write(count: int) -> None:
        model.generate(tokens, max_new_tokens=count, cache_implementation="static", **options).tolist()

    name = "transformers' generate, static cache" + (", compiled" if work.device.startswith("cuda") else "")
    yield row(name, 1000 * step_seconds(write, work.new_tokens), "ms a token")


def crowd(work: Workload) -> Iterator[Row]:
    """Comparisons at once against one after another."""
    for each in at_once(work, AT_ONCE):
        yield row(f"{AT_ONCE} comparisons at once, {each['what']}", float(each["times as fast"]), "times as fast")
        yield row(f"{AT_ONCE} comparisons at once, {each['what']}", float(each["tokens a second"]), "tokens a second")


PARTS: dict[str, Callable[[Workload], Iterator[Row]]] = {
    "checks": checks,
    "decoding and scoring": by_step,
    "at once": crowd,
    "nf4": by_nf4,
    "static cache": static_cache,
}


def as_markdown(report: dict[str, Any]) -> str:
    """One table, the machine above it."""
    facts = ("device", "torch", "transformers", "shape", "dtype", "new_tokens")
    head = ", ".join(f"{name} {report[name]}" for name in facts)
    rows = [{"part": name, **each} for name, part in report["parts"].items() for each in part]
    return f"{head}; {report['seconds']:.0f} s in all\n\n{rows_as_text(rows)}\n"
