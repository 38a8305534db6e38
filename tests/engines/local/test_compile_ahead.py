"""Compiling before there is a model: a real one must find every loop it needs."""

from __future__ import annotations

import pytest
import torch

from tests.support.packable import adapted, gemma, weights
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner, warm_up
from urial.engines.local.runner import Chunk
from urial.kernels import attention, by_address, decoder, layers, multiply, packing, scales
from urial.kernels.ahead import WAYS

pytestmark = pytest.mark.slow

LOOPS = (
    attention.attend,
    multiply.multiply,
    layers.run_layers,
    decoder.norm,
    scales.find_scales,
    scales.find_scales_from_least,
)


def test_a_real_model_compiles_nothing_more() -> None:
    warm_up("float32")
    compiled = [set(loop.signatures) for loop in LOOPS]
    assert all(compiled)
    runner = CompiledCpuRunner(adapted(gemma("in blocks of 32")))
    runner.forward([Chunk(runner.open(3, None), [3, 4, 5], 1, 0.5)])
    packing.pack(weights("in blocks of 16", 64, 64))
    packing.pack(weights("from their least", 64, 64))
    assert [set(loop.signatures) for loop in LOOPS] == compiled
    # What a second process compiles apart is what the layers are made of, not something beside it.
    assert len(attention.attend.signatures) == len(multiply.multiply.signatures) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_type_of_weights_has_its_product_made(dtype: str) -> None:
    made = {by_address.FUNCTIONS[which] for which in WAYS[dtype]}
    assert by_address.FUNCTIONS[packing.STORED[getattr(torch, dtype)]] in made
    assert all(by_address.FUNCTIONS[kind] in made for kind in packing.BLOCKS.values()) == (dtype == "float32")
