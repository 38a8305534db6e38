"""Compiling before there is a model: a real one must find every loop it needs."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from tests.packable import adapted, gemma, weights
from urial.engines.compiled import attention, blocks, kernels, steps
from urial.engines.compiled.ahead import compile_ahead
from urial.engines.compiled.gemma import GemmaTrunk
from urial.engines.compiled.head import packed_head

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
    model = adapted(gemma("in blocks of 32"))
    trunk = GemmaTrunk(model)
    with torch.inference_mode():
        trunk.reader([3, 4, 5], DynamicCache(config=model.config), is_adapted=True)
    packed_head(weights("in blocks of 16", 64, 64), lambda logits: logits)
    blocks.pack(weights("from their least", 64, 64).numpy())
    assert [set(loop.signatures) for loop in LOOPS] == compiled
