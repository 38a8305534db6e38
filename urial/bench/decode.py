"""What a decoding step and scoring cost, and what it brings to run many comparisons at once.

Each function yields rows. Knows the workload, our own path, and transformers' `generate` to hold it against.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from urial.bench.contestants import Ours
from urial.bench.growth import timed
from urial.bench.limit import read_bandwidth, step_bytes
from urial.bench.workload import QUERIES, Workload, endless_engines
from urial.compare.given_answer import score_exactly
from urial.compare.live_scoring import Growing
from urial.compare.request import Prompts, make_prompts
from urial.compare.scoring import ExactComparison
from urial.engines.base import Sampling
from urial.engines.local.engine import LocalEngine
from urial.engines.local.request_outputs import score_given
from urial.engines.pair import PairEngines
from urial.records import ContextName

ROUNDS = 3  # after one that warms up
SCORED = 512  # positions scored in one go

Row = dict[str, float | str]


def by_step(work: Workload) -> Iterator[Row]:
    """One answer alone against eager `generate` and the bandwidth limit, both columns, and scoring."""
    engines = endless_engines(work)
    prompts = make_prompts(engines, work.request(QUERIES[0]))
    model, count = work.loaded.base.model, work.new_tokens
    eager = step_seconds(lambda length: eagerly(model, prompts.base_ids, length), count, rounds=1)  # it is slow
    ours = step_seconds(lambda length: one_answer(engines.local("base"), prompts.base_ids, length), count)
    both = step_seconds(lambda length: both_answers(engines, prompts, length), count)
    limit = step_bytes(model) / read_bandwidth(work.device)
    yield row("transformers' generate, eager, one answer", 1000 * eager, "ms a token")
    yield row("ours, one answer", 1000 * ours, "ms a token")
    yield row("ours over generate", eager / ours, "times as fast")
    yield row("the weights read once at the bandwidth measured", 1000 * limit, "ms")
    yield row("ours, one answer", 100 * limit / ours, "% of the bandwidth limit")
    yield row("ours, both columns", 1000 * both, "ms a token of each")
    scored, as_rows = scoring_seconds(engines, prompts)
    yield row(f"scoring {SCORED} positions in both contexts", 1000 * scored, "ms")
    yield row(f"scoring {SCORED} positions in both contexts, as a record's rows", 1000 * as_rows, "ms")


def row(what: str, measured: float, unit: str) -> Row:
    return {"what": what, "measured": measured, "unit": unit}


def step_seconds(write: Callable[[int], None], count: int, rounds: int = ROUNDS) -> float:
    """Seconds a token: an answer of `count` tokens less one of a single token, which pays for the prompt."""
    write(count)
    found = [timed(partial(write, count))[0] - timed(partial(write, 1))[0] for _ in range(rounds)]
    return statistics.median(found) / max(1, count - 1)


@torch.inference_mode()
def eagerly(model: PreTrainedModel, ids: list[int], count: int) -> None:
    tokens = torch.tensor([ids], device=model.device)
    options = {"attention_mask": torch.ones_like(tokens), "do_sample": False, "eos_token_id": None}
    cast(Any, model).generate(tokens, max_new_tokens=count, **options).tolist()


def one_answer(engine: LocalEngine, ids: list[int], count: int) -> None:
    for _ in engine.generate(ids, Sampling(max_new_tokens=count)):
        pass


def both_answers(engines: PairEngines, prompts: Prompts, count: int) -> None:
    sampling = Sampling(max_new_tokens=count)
    base = engines.base.generate(prompts.base_ids, sampling)
    for _ in zip(base, engines.aligned.generate(prompts.aligned_ids, sampling), strict=True):
        pass


def scoring_seconds(engines: PairEngines, prompts: Prompts) -> tuple[float, float]:
    """Both models read an answer of SCORED tokens, behind prompts of which the constant part is read already: all
    statistics, and those as rows of a record."""
    ids = [(7 * position) % engines.vocabulary for position in range(SCORED)]

    def columns() -> None:
        exact = ExactComparison(engines, prompts.context_ids, SCORED)
        reader = engines.local("aligned").reader(prompts.aligned_ids, SCORED)
        with closing(score_given(ids, reader, exact.followers, exact.compare, exact.vocabulary)) as found:
            deque(found, maxlen=0)

    def rows() -> None:
        growing: Growing = {name: [] for name in prompts.context_ids}
        deque(score_exactly(engines, prompts, ids, [""] * SCORED, growing), maxlen=0)

    return repeated(columns), repeated(rows)


def repeated(job: Callable[[], None]) -> float:
    """Median seconds, after one run that warms up."""
    job()
    return statistics.median(timed(job)[0] for _ in range(ROUNDS))


def at_once(work: Workload, count: int) -> Iterator[Row]:
    """`count` comparisons one after another and in as many threads, the answers alone and with both contexts."""
    engines = endless_engines(work)
    queries = [f"{QUERIES[n % len(QUERIES)]} ({n})" for n in range(count)]
    kinds: list[tuple[str, tuple[ContextName, ...]]] = [
        ("answers alone", ()),
        ("with scoring", ("zero_shot", "urial")),
    ]
    for name, contexts in kinds:
        run = Ours(work, engines, name, contexts).run
        with ThreadPoolExecutor(count) as pool:
            together = partial(lambda run, pool: list(pool.map(run, queries)), run, pool)
            together()  # warm
            alone, _ = timed(partial(lambda run: [run(query) for query in queries], run))
            crowd, _ = timed(together)
        yield {
            "comparisons": count,
            "what": name,
            "one after another s": alone,
            "at once s": crowd,
            "times as fast": alone / crowd,
            "tokens a second": 2 * count * work.new_tokens / crowd,
        }
