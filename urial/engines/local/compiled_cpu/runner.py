"""A runner for decoders on a processor: one compiled pass over the weights as they are stored serves all sequences.

The sums are those of transformers' layers in float32, in another order; the weights are the same to the last bit
(`packing`). Every token is a row of its own, so prompts and answers are read alike, and a row's numbers do not depend
on the others. Shapes: N tokens of a pass, D hidden size, S head size.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.compiled_cpu.cache import CompiledCache, open_cache
from urial.engines.local.compiled_cpu.layers import head_of, last_norm, layers_of, rotary_kinds
from urial.engines.local.runner import Chunk, Limits, Prefix, side_by_side, wanted_rows
from urial.kernels import decoder, second_process
from urial.kernels.ahead import compile_ahead
from urial.kernels.cores import all_cores
from urial.kernels.layers import run_layers, table_of
from urial.kernels.matrices import Floats
from urial.kernels.memory import aligned, aligned_empty, give_back
from urial.kernels.multiply import multiply, told

MORE_POSITIONS = 1024  # that rotary tables grow by


class CompiledCpuRunner:
    """Compiled layers and output layer, ready to run."""

    can_rewind = True
    limits = Limits()
    worth_reading = 1

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` is of a family in the table, and carries the adapter where there is one.

        Packing the embedded pair takes two seconds, compiling about ten, once for a machine.
        """
        second_process.wait()
        inner: Any = model.base_model
        self._embed = Embedding(inner.embed_tokens)
        self._last_norm = last_norm(model)
        self._eps = np.float32(model.config.get_text_config().rms_norm_eps)
        self._layers = layers_of(model)  # the table has the addresses of their arrays
        self._table = table_of(self._layers)
        self._rotary = [RotaryTables(inner.rotary_emb, kind) for kind in rotary_kinds(model)]
        self._head = head_of(model)
        self._told_head = told(self._head)
        give_back()
        self.forward([Chunk(self.open(1, None), [0], 1, 1.0)])  # for the compiler

    def open(self, capacity: int, prefix: Prefix[CompiledCache] | None) -> CompiledCache:
        return open_cache(self._layers, capacity, prefix)

    @torch.inference_mode()
    def forward(self, batch: Sequence[Chunk[CompiledCache]]) -> Sequence[torch.Tensor]:
        """See `Runner`. Raises RuntimeError where a cache has no room for its tokens."""
        if any(chunk.cache.length + len(chunk.tokens) > chunk.cache.capacity for chunk in batch):
            raise RuntimeError("a sequence has got longer than the room that was asked for")
        with all_cores("compiled layers"):
            hidden = self._hidden(batch)
            logits = self._logits(aligned(hidden[wanted_rows(batch)]))
        for chunk in batch:
            chunk.cache.length += len(chunk.tokens)
        return logits.split([chunk.rows for chunk in batch])

    def close(self, cache: CompiledCache) -> None:
        """Nothing to give back: keys and values go with the cache."""

    def _hidden(self, batch: Sequence[Chunk[CompiledCache]]) -> Floats:
        """Last hidden states [N, D] of all tokens; each is a row of its own, whatever sequence it belongs to."""
        tokens, positions, factors = side_by_side(batch)
        hidden = self._embed(tokens)
        cos, sin = (np.stack(found) for found in zip(*(rotary.at(positions) for rotary in self._rotary), strict=True))
        run_layers(
            hidden,
            self._table.rows,
            self._table.scales,
            np.array(factors, np.float32),
            cos,
            sin,
            np.stack([chunk.cache.table for chunk in batch for _ in chunk.tokens]),
            np.array(positions, np.int64),
            self._eps,
            aligned_empty(2, len(tokens) * self._table.width),
        )
        decoder.norm(hidden, self._last_norm, self._eps)
        return hidden

    def _logits(self, hidden: Floats) -> torch.Tensor:
        """Logits [R, V] of R hidden states [R, D]."""
        found = np.empty((len(hidden), len(self._head.codes)), np.float32)
        if len(hidden):
            multiply(self._told_head, hidden, np.zeros(len(hidden), np.float32), found)
        return torch.from_numpy(found)


class Embedding:
    """Rows of the embeddings in float32, scaled as the family scales them (Gemma)."""

    def __init__(self, layer: nn.Embedding) -> None:
        self._layer = layer
        self._scale = getattr(layer, "scalar_embed_scale", None)

    def __call__(self, tokens: Sequence[int]) -> Floats:
        """[N, D] of N token ids."""
        rows = nn.functional.embedding(torch.tensor(tokens), self._layer.weight).float()
        return (rows if self._scale is None else rows * self._scale).numpy()


class RotaryTables:
    """transformers' rotary cosines and sines [positions, S] of one kind of layer, as far as they were needed."""

    def __init__(self, rotary: nn.Module, kind: str) -> None:
        self._rotary = rotary
        self._kind = [kind] if "layer_type" in inspect.signature(rotary.forward).parameters else []
        self._cos = self._sin = np.zeros((0, 0), np.float32)

    def at(self, positions: Sequence[int]) -> tuple[Floats, Floats]:
        """Both for R positions, [R, S]."""
        if max(positions) >= len(self._cos):
            self._grow(max(positions) + MORE_POSITIONS)
        return self._cos[positions], self._sin[positions]

    def _grow(self, count: int) -> None:
        found = self._rotary(torch.zeros(1), torch.arange(count)[None], *self._kind)
        self._cos, self._sin = (table[0].numpy() for table in found)


def warm_up(dtype: str = "float32") -> None:
    """Compiles the loops for weights of that type while they are still on their way (`kernels/ahead.py`).

    Raises RuntimeError where that fails, OSError where nothing can be written any more.
    """
    second_process.wait()
    with all_cores("compiling"):
        compile_ahead(dtype)
