"""The loops, compiled while weights are still on their way.

numba compiles for types of arrays, not for sizes: a tiny model of zeros does for all, whatever their family is and
however their weights are stored.
"""

from __future__ import annotations

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.kernels.packing import pack

WIDTH = 32  # one block of codes


@torch.inference_mode()
def warm_up() -> None:
    """Twenty seconds on a new machine, then a moment. Raises what making a runner raises."""
    config = Gemma3TextConfig(
        vocab_size=WIDTH,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=WIDTH,
        layer_types=["sliding_attention"],
    )
    model = Gemma3ForCausalLM(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    CompiledCpuRunner(model)
    pack(torch.rand(WIDTH, WIDTH))  # fits none of the ways to pack, so all are tried
