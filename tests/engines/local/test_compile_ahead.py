"""Compiling before there is a model: a real one must find every loop it needs."""

from __future__ import annotations

import pytest

from tests.support.packable import adapted, gemma, weights
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner, warm_up
from urial.engines.local.runner import Chunk
from urial.kernels import decoder, layers, packing, scales

pytestmark = pytest.mark.slow

LOOPS = (
    decoder.multiply,
    layers.run_layers,
    decoder.norm,
    scales.find_scales,
    scales.find_scales_from_least,
)


def test_a_real_model_compiles_nothing_more() -> None:
    warm_up()
    compiled = [set(loop.signatures) for loop in LOOPS]
    assert all(compiled)
    runner = CompiledCpuRunner(adapted(gemma("in blocks of 32")))
    runner.forward([Chunk(runner.open(3, None), [3, 4, 5], 1, 0.5)])
    packing.pack(weights("in blocks of 16", 64, 64))
    packing.pack(weights("from their least", 64, 64))
    assert [set(loop.signatures) for loop in LOOPS] == compiled
