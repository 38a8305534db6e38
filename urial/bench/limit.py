"""The floor of a decoding step: the bytes of the weights over the memory bandwidth measured in the same run."""

from __future__ import annotations

import time

import torch
from transformers import PreTrainedModel

PROBE_BYTES = {"cpu": 2**29, "cuda": 2**32}  # far beyond any cache, and long beside the launch on a GPU


def read_bandwidth(device: str, repeats: int = 5) -> float:
    """Bytes a second that a plain sum reads; the best of some, since others only take away."""
    size = PROBE_BYTES.get(torch.device(device).type, 2**29)
    probe = torch.ones(size // 4, device=device)
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        probe.sum().item()
        best = max(best, size / (time.perf_counter() - started))
    return best


def step_bytes(model: PreTrainedModel) -> int:
    """Bytes that one step must read: every weight once, a tied embedding once (as the head)."""
    head = model.get_output_embeddings().weight
    embedding = model.get_input_embeddings().weight
    seen = {id(p): p.numel() * p.element_size() for p in model.parameters()}
    if embedding is not head:
        seen.pop(id(embedding), None)
    return sum(seen.values())
