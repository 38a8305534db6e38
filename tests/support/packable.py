"""Tiny Gemmas whose weights are those of a packed checkpoint, so that they get the compiled loops."""

from __future__ import annotations

import numpy as np
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from urial.weights.adapters import LowRankLinear, share_tensors


def weights(kind: str, outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    """[outputs, inputs] as a checkpoint of that kind unpacks: small whole numbers times a scale of few bits."""
    random = np.random.default_rng(seed)
    if kind == "whole":
        return torch.from_numpy(random.standard_normal((outputs, inputs)).astype(np.float32) / 8)
    block = 16 if "16" in kind else 32
    scales = random.uniform(0.2, 1, (outputs, inputs // block)).astype(np.float16).astype(np.float32) / 128
    first, end = (0, 16 if "four bits" in kind else 32) if "least" in kind else (-16, 16)
    codes = random.integers(first, end, (outputs, inputs)).astype(np.float32)
    found = codes * np.repeat(scales, block, axis=1)
    if "least" in kind:
        least = random.uniform(0.5, 3, scales.shape).astype(np.float16).astype(np.float32) / 16
        found -= np.repeat(least, block, axis=1)
    return torch.from_numpy(found)


def gemma(
    kind: str, vocabulary: int = 96, hidden: int = 64, heads: int = 4, groups: int = 2, size: int = 16
) -> PreTrainedModel:
    """A tiny Gemma 3 with two layers of each kind, whose sliding window is shorter than the prompts here."""
    config = Gemma3TextConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=size,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"] * 2,
        max_position_embeddings=4096,
    )
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(config).eval().requires_grad_(False)
    for seed, (name, parameter) in enumerate(model.named_parameters()):
        if "norm" in name:
            parameter.copy_(torch.randn_like(parameter) / 4)
        else:
            parameter.copy_(weights(kind, *parameter.shape, seed=seed))
    return model


def adapted(model: PreTrainedModel) -> PreTrainedModel:
    """The same tensors with low-rank layers on some of the linear ones, of different ranks."""
    twin = share_tensors(model)
    for layer in twin.base_model.layers:
        for parent, name, rank in (
            (layer.self_attn, "q_proj", 4),
            (layer.self_attn, "v_proj", 2),
            (layer.self_attn, "o_proj", 3),
            (layer.mlp, "up_proj", 4),
            (layer.mlp, "down_proj", 4),
        ):
            base = getattr(parent, name)
            down, up = torch.randn(rank, base.in_features) / 8, torch.randn(base.out_features, rank) / 8
            setattr(parent, name, LowRankLinear(base, down.to(base.weight.dtype), up.to(base.weight.dtype)))
    return twin
