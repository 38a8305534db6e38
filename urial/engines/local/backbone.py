"""The layers under a model's head, and how to have them read on behind a cache, whatever the family calls things."""

from __future__ import annotations

import inspect

import torch
from transformers import DynamicCache, PreTrainedModel

CACHE_NAMES = ("past_key_values", "cache_params")  # attention's, and Mamba's


def backbone_of(model: PreTrainedModel) -> PreTrainedModel:
    """The layers under the head: what turns token ids into hidden states."""
    return getattr(model, backbone_name(model))


def backbone_name(model: PreTrainedModel) -> str:
    """Its attribute. Some families name a prefix of a larger model that is not there (Llama 4)."""
    if model.base_model is not model:
        return model.base_model_prefix
    return next(name for name, child in model.named_children() if isinstance(child, PreTrainedModel))


def read_on(layers: PreTrainedModel, tokens: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """Hidden states [1, n, D] of token ids [1, n] that follow what the cache holds; the cache grows."""
    known = inspect.signature(layers.forward).parameters
    name = next((name for name in CACHE_NAMES if name in known), CACHE_NAMES[0])
    given = {name: cache, "use_cache": True}
    parts = tokens.split(1, dim=1) if _reads_one_by_one(cache) else [tokens]
    return torch.cat([layers(input_ids=part, **given)[0] for part in parts], dim=1)


def _reads_one_by_one(cache: DynamicCache) -> bool:
    """Whether more tokens behind this cache have to be read singly.

    Recurrent layers (Mamba and its kind) may begin several tokens anew, whatever the cache holds.
    """
    states = [getattr(layer, "has_previous_state", {}) for layer in cache.layers]
    return any(any(begun.values()) for begun in states)
