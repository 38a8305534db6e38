"""The timings of the dial and of switch points, on tiny models: what is timed is what they say."""

from __future__ import annotations

from types import SimpleNamespace

from tests.support import tiny
from urial.bench.steering import pairs_of_rows, rows_of, statistics_seconds
from urial.compare.request import Request
from urial.compare.run import compare, result
from urial.prompts import method
from urial.shift.numba_backend import switch_point


def test_the_timed_rows_are_those_with_a_switch_point() -> None:
    engines = tiny.pair()
    request = Request(query="why?", method=method("urial", 0), max_new_tokens=12)
    right = result(compare(engines, request))
    ids = right.aligned.token_ids
    aligned = rows_of(engines.aligned.model, right.aligned.prompt_ids, ids)
    base = rows_of(engines.base.model, right.shift["urial"].context_ids, ids)
    found = [switch_point(*each) for each in pairs_of_rows(aligned, base, ids)]
    needed = [row.switch_point for row in right.shift["urial"].tokens if row.switch_point]
    assert len(found) == len(needed)
    assert all(abs(one - other) < 1e-3 for one, other in zip(found, needed, strict=True))
    loaded = SimpleNamespace(base=engines.base, aligned=engines.aligned)
    whole, part = statistics_seconds(SimpleNamespace(loaded=loaded), engines, request)
    assert whole > 0 and part > 0
