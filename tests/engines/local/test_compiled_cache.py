"""Sequences of the compiled runner lie where their prefixes lie, and their numbers are the same to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.tiny_families import decoder
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.runner import Chunk, Prefix
from urial.kernels.attention import BLOCK, SPANS

pytestmark = pytest.mark.slow

IDS = torch.arange(3, 403).mul(7).remainder(440).tolist()  # three blocks and a bit
LENGTHS = [BLOCK - 28, BLOCK, 2 * BLOCK - 1, 300, 320]  # within a block, at its end, before it, and more than SPANS


@pytest.fixture(scope="module", params=["SmolLM2", "Gemma 3"])
def runner(request: pytest.FixtureRequest) -> CompiledCpuRunner:
    """Gemma's layers look back over a window, in which a block begins anywhere."""
    return CompiledCpuRunner(decoder(request.param, torch.float32))


def read(runner: CompiledCpuRunner, cache, ids: list[int]) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return runner.forward([Chunk(cache, ids, len(ids), 0.0)])[0]


def test_a_sequence_behind_prefixes_of_prefixes_has_the_numbers_of_one_that_read_all(
    runner: CompiledCpuRunner,
) -> None:
    at_once = read(runner, runner.open(400, None), IDS)
    cache = runner.open(400, None)
    read(runner, cache, IDS[: LENGTHS[0]])
    for start, stop in zip(LENGTHS, [*LENGTHS[1:], 400], strict=True):
        cache = runner.open(400, Prefix(cache, start))
        assert torch.equal(read(runner, cache, IDS[start:stop]), at_once[start:stop])
        assert len(cache.spans) <= SPANS


def test_both_go_on_apart_behind_one_prefix(runner: CompiledCpuRunner) -> None:
    """Who owns the prefix writes on behind it; who shares it writes something else at the same positions."""
    owner = runner.open(300, None)
    read(runner, owner, IDS[:200])
    sharer = runner.open(300, Prefix(owner, 150))
    other = IDS[:150] + IDS[300:350]
    both = runner.forward([Chunk(owner, IDS[200:250], 50, 0.0), Chunk(sharer, IDS[300:350], 50, 0.0)])
    assert torch.equal(both[0], read(runner, runner.open(300, None), IDS[:250])[200:])
    assert torch.equal(both[1], read(runner, runner.open(300, None), other)[150:])


def test_what_is_shared_takes_no_memory_and_a_copy_outlives_its_origin(runner: CompiledCpuRunner) -> None:
    owner = runner.open(390, None)
    wanted = read(runner, owner, IDS[:300])
    sharer = runner.open(390, Prefix(owner, 256))
    assert sharer.spans[0] is owner.spans[0] and sharer.nbytes * 2 <= owner.nbytes
    kept = runner.open(200, Prefix(owner, 200))
    assert not any(np.shares_memory(*pair) for pair in zip(kept.spans[0].layers, owner.spans[0].layers, strict=True))
    for layer in owner.spans[0].layers:
        layer[:] = np.nan
    behind = runner.open(390, Prefix(kept, 200))
    assert torch.equal(read(runner, behind, IDS[200:300]), wanted[200:])
