"""Compiling before there is a model: a real one must find every loop it needs."""

from __future__ import annotations

import pytest

from tests.packable import adapted, gemma, weights
from urial.engines.compiled import attention, blocks, kernels, steps
from urial.engines.compiled.ahead import compile_ahead
from urial.engines.compiled.gemma import GemmaCpuRunner
from urial.engines.runner import Chunk

pytestmark = pytest.mark.slow

LOOPS = (
    kernels.multiply,
    kernels.enter,
    attention.attend,
    kernels.leave,
    kernels.norm,
    steps.find_steps,
    steps.find_steps_from_least,
)


def test_a_real_model_compiles_nothing_more() -> None:
    compile_ahead()
    compiled = [set(loop.signatures) for loop in LOOPS]
    assert all(compiled)
    runner = GemmaCpuRunner(adapted(gemma("in blocks of 32")))
    runner.forward([Chunk(runner.open(3, None), [3, 4, 5], 1, 0.5)])
    blocks.pack(weights("in blocks of 16", 64, 64).numpy())
    blocks.pack(weights("from their least", 64, 64).numpy())
    assert [set(loop.signatures) for loop in LOOPS] == compiled
