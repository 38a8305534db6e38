"""`python -m urial bench`: the contestants in turns; or how our cost grows, where it goes, what a crowd costs."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial.errors import SettingsError

if TYPE_CHECKING:  # torch loads when something runs, not for `--help`
    from urial.bench.contestants import Contestant, Ours
    from urial.bench.measure import Timings
    from urial.bench.workload import Workload
    from urial.engines.pair import PairEngines

KNOWN = ("naive", "llama.cpp", "vllm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", metavar="NAMES", default="naive", help=f"rivals, of {', '.join(KNOWN)}, or none")
    parser.add_argument("--models", metavar="FILE")
    parser.add_argument("--pair", metavar="NAME")
    parser.add_argument(
        "--shape",
        choices=("8b", "smollm2-135m", "qwen2.5-0.5b", "tiny"),
        help="random weights of this shape in place of a pair's; 8b needs a GPU",
    )
    parser.add_argument("--device", metavar="D")
    parser.add_argument("--dtype", metavar="NAME")
    parser.add_argument("--examples", metavar="K", type=int, default=3)
    parser.add_argument("--new-tokens", metavar="N", type=int, default=128)
    parser.add_argument("--rounds", metavar="R", type=int, default=1)
    parser.add_argument("--server", metavar="URL", help="a running vLLM server, for --against vllm")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--grow", choices=("answer", "prompt", "vocabulary"), help="how our own cost grows with it")
    other.add_argument("--profile", action="store_true", help="where the time of our own decoding step goes")
    other.add_argument("--decode", action="store_true", help="our decoding step against generate and the bandwidth")
    other.add_argument("--dial", action="store_true", help="five positions against one answer; what switch points add")
    other.add_argument("--at-once", metavar="N", type=int, help="N comparisons at once against one after another")
    other.add_argument("--gpu", action="store_true", help="all that a GPU is measured for, into --out; no network")
    parser.add_argument("--out", metavar="DIR", help="with --gpu: gpu.json and gpu.md go there")
    parser.add_argument("--json", action="store_true")


def chosen_rivals(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    wrong = [name for name in names if name not in KNOWN]
    if wrong:
        raise SettingsError(f"--against {text!r}: {wrong[0]!r} is not known; choose of {', '.join(KNOWN)}, or none.")
    return names


def run(options: argparse.Namespace) -> int:
    from urial.bench.table import as_text, rows_as_text

    rivals = chosen_rivals(options.against)
    if options.at_once is not None and options.at_once < 1:
        raise SettingsError(f"--at-once {options.at_once}: choose how many comparisons, 1 or more.")
    if options.gpu != bool(options.out):
        raise SettingsError("--gpu and --out go together: --gpu --out DIR writes its tables into that folder.")
    if options.gpu and not options.shape:
        options.shape = "8b"  # no pair's weights are asked for
    work = load_work(options)
    if options.gpu:
        return run_gpu(work, options)
    if found := alone(work, options):
        print(json.dumps(found) if options.json else rows_as_text(found))
    else:
        report = measure(work, options, rivals)
        print(json.dumps(report) if options.json else as_text(report))
    return 0


def run_gpu(work: Workload, options: argparse.Namespace) -> int:
    from urial.bench.gpu import as_markdown, measure_gpu

    report = measure_gpu(work, Path(options.out).expanduser())
    print(json.dumps(report) if options.json else as_markdown(report))
    return 0


def load_work(options: argparse.Namespace) -> Workload:
    from urial.bench import shapes, workload
    from urial.pairs import Machine, load_pairs

    asked = {"dtype": options.dtype, "examples": options.examples, "new_tokens": options.new_tokens}
    device = options.device or Machine.probe().default_device
    if options.shape:
        work = shapes.random_work(options.shape, device=device, **asked)
        tell_processor(options.shape, device)
        return work
    pairs = load_pairs(options.models)
    return workload.load(pairs.get(options.pair or pairs.default), device=device, **asked)


def tell_processor(shape: str, device: str) -> None:
    """Beside the numbers, so that nobody takes them for a GPU's."""
    if not device.startswith("cuda"):
        print(f"--shape {shape} on {device}: these times say nothing about a GPU.", file=sys.stderr)


def alone(work: Workload, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows about our own path, of the kind that was asked for; none where rivals are to run."""
    from urial.bench.decode import at_once, by_step
    from urial.bench.growth import GROWTH
    from urial.bench.profile import by_operator
    from urial.bench.steering import by_steering

    if options.grow:
        return list(GROWTH[options.grow](work))
    if options.profile:
        return list(by_operator(work))
    if options.decode:
        return list(by_step(work))
    if options.dial:
        return list(by_steering(work))
    return list(at_once(work, options.at_once)) if options.at_once else []


def measure(work: Workload, options: argparse.Namespace, rivals: list[str]) -> dict[str, Any]:
    """Everything that `--json` prints."""
    from urial.bench import workload
    from urial.bench.contestants import Ours
    from urial.bench.measure import peak_rss_gb, take_turns

    engines = workload.endless_engines(work)
    ours = Ours(work, engines, "ours", ("zero_shot", "urial"))
    bare = Ours(work, engines, "ours without scoring", ())
    ours.run(workload.QUERIES[0])
    peak = peak_rss_gb()  # before any rival is loaded
    first = first_token_ratio(bare, workload.QUERIES)
    against = [rival for name in rivals for rival in open_rivals(name, work, engines, options.server)]
    contestants = [ours, bare, *against]
    timings = take_turns(contestants, workload.QUERIES, options.rounds)
    return make_report(work, timings, rivals, peak, first)


def first_token_ratio(ours: Ours, queries: tuple[str, ...]) -> dict[str, float]:
    """Seconds to the base's first token: with the URIAL prompt, its constant part read before, and the bare query."""
    urial = [ours.record(query).base.first_token_seconds or 0.0 for query in queries]
    bare = [ours.record(query, examples=0).base.first_token_seconds or 0.0 for query in queries]
    return {"urial": statistics.median(urial), "bare": statistics.median(bare)}


def open_rivals(name: str, work: Workload, engines: PairEngines, server: str | None) -> list[Contestant]:
    """What is run for a name of `--against`; llama.cpp runs twice, for the answers alone and for our whole job."""
    if name == "naive":
        from urial.bench.contestants import Naive

        return [Naive(work, engines)]
    if name == "llama.cpp":
        import torch

        from urial.bench.llama_cpp import LlamaCpp
        from urial.bench.llama_cpp_job import LlamaCppJob

        threads = torch.get_num_threads()
        answers = LlamaCpp(work, engines, threads)
        return [answers, LlamaCppJob(work, engines, answers.files, threads)]
    if server:
        from urial.bench.vllm import Vllm

        return [Vllm(work, engines, server)]
    raise SettingsError("--against vllm needs --server URL of a running server; docs/serving.md says how to start one.")


def make_report(
    work: Workload, timings: Timings, rivals: list[str], peak: float, first: dict[str, float]
) -> dict[str, Any]:
    from urial.bench.limit import read_bandwidth, step_bytes
    from urial.bench.measure import SAME_JOB, agreement

    bandwidth, weights = read_bandwidth(work.device), step_bytes(work.loaded.base.model)
    ratios = {
        "scoring_share": timings.ratio("ours", "ours without scoring") - 1,
        "first_token_urial_vs_bare": first["urial"] / first["bare"],
    }
    keys = {"naive": "comparison_vs_naive", "llama.cpp": "comparison_vs_llama_cpp", "vllm": "comparison_vs_vllm"}
    ratios |= {keys[name]: timings.ratio(name, "ours") for name in rivals}
    if "llama.cpp" in rivals:
        ratios["answers_vs_llama_cpp"] = timings.ratio("llama.cpp", "ours without scoring")
        ratios["same_job_vs_llama_cpp"] = timings.ratio(SAME_JOB, "ours")
    steps_per_second = work.new_tokens / timings.median("ours without scoring")
    return {
        "pair": work.pair.name,
        "dtype": work.dtype,
        "device": work.device,
        "new_tokens": work.new_tokens,
        "examples": work.examples,
        "ratios": ratios,
        "peak_rss_gb": peak,
        "limit": {
            "weight_bytes": weights,
            "bandwidth_bytes_per_second": bandwidth,
            "steps_per_second": bandwidth / weights,
            "share_reached": steps_per_second * weights / bandwidth,
        },
        "agreement": {
            name: agreement(timings.found["ours"], timings.found[name])
            for name in ("naive", SAME_JOB)
            if name in timings.found
        },
        "medians": {name: timings.median(name) for name in timings.seconds},
        "first_token_seconds": first,
        "seconds": timings.seconds,
    }
