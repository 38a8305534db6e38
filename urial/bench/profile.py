"""Where one decoding step's time goes: torch's own profiler over some steps of both columns."""

from __future__ import annotations

from collections.abc import Iterator

from torch.profiler import (  # type: ignore[attr-defined]  # the configuration is documented, not exported
    ProfilerActivity,
    _ExperimentalConfig,
    profile,
)

from urial.bench.contestants import Ours
from urial.bench.workload import QUERIES, Workload, endless_engines

STEPS = 32
MOST = 12  # operators shown


def by_operator(work: Workload) -> Iterator[dict[str, float | str]]:
    """Milliseconds and calls a step by operator, dearest first; the prompts are read before the clock starts."""
    ours = Ours(work.of_length(STEPS), endless_engines(work), "ours", ())
    ours.record(QUERIES[0])
    found = _profiled(ours)
    operators = sorted(found.key_averages(), key=lambda one: -one.self_cpu_time_total)
    for one in operators[:MOST]:
        yield {
            "operator": one.key,
            "ms a step": one.self_cpu_time_total / 1000 / STEPS,
            "calls a step": one.count / STEPS,
        }


def _profiled(ours: Ours) -> profile:
    everywhere = _ExperimentalConfig(profile_all_threads=True)  # the scheduler has a thread of its own
    with profile(activities=[ProfilerActivity.CPU], experimental_config=everywhere) as found:
        ours.record(QUERIES[0])
    return found
