"""The longest text that a model reads, whatever its family calls that."""

from __future__ import annotations

from transformers import PretrainedConfig

NAMES = ("max_position_embeddings", "max_seq_len", "seq_length", "n_positions")
UNLIMITED = 2**20  # for layers that number no positions (Mamba) or slope with distance (Bloom): more fits no memory


def context_length_of(config: PretrainedConfig) -> int:
    """In tokens, prompt and answer together."""
    found = (getattr(config, name, None) for name in NAMES)
    return next((length for length in found if isinstance(length, int) and length > 0), UNLIMITED)
