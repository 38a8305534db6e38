"""A runner for Gemma 3 in float32 on a processor: one compiled pass over the packed weights serves all sequences.

The sums are those of transformers' layers in float32, in another order; the weights are the same to the last bit
(`blocks`). Every token is a row of its own, so prompts and answers are read alike, and a row's numbers do not depend on
the others. Shapes: N tokens of a pass, D hidden size, G groups of keys, S head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import PreTrainedModel

from urial.engines.local.gemma_cpu import attention, kernels
from urial.engines.local.gemma_cpu.kernels import Floats, PackedMatrix
from urial.engines.local.gemma_cpu.packing import is_packed, pack
from urial.engines.local.runner import Chunk, Prefix
from urial.engines.local.torch_runner import MAX_SEQUENCES, wanted_rows
from urial.numba_tools.cores import all_cores
from urial.weights.adapters import LowRankLinear

EVERYTHING = 2**62  # positions: more than any text has
MORE_POSITIONS = 1024  # that rotary tables grow by
HEAD_STEP = 16  # numbers of a value that attention takes at a time
USUAL = {
    "model_type": "gemma3_text",
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "use_bidirectional_attention": False,
    "final_logit_softcapping": None,
}


@dataclass(slots=True, eq=False)
class GemmaCache:
    """One sequence: for each layer its keys and values [G, capacity, S], and where they lie."""

    length: int  # positions that count
    capacity: int
    layers: list[tuple[Floats, Floats]]
    stored: NDArray[np.int64]  # [layers, 3]: the addresses of keys and values, and the capacity

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for pair in self.layers for array in pair)


class Layer(NamedTuple):
    """One layer's arrays; norms are weights as they are multiplied with."""

    kind: str  # sliding or full attention
    window: int  # positions that a query looks back over, its own included
    scale: np.float32
    groups: int
    qkv: PackedMatrix
    after_attention: tuple[PackedMatrix, PackedMatrix, PackedMatrix]  # output, gate over up, down
    norms_in: tuple[Floats, Floats, Floats]
    norms_out: tuple[Floats, Floats, Floats]


class Pass(NamedTuple):
    """What the layers share in one pass over N tokens."""

    factors: Floats  # [N], of the low-rank parts
    rotary: dict[str, tuple[Floats, Floats]]  # cosines and sines [N, S] of each kind of layer
    stored: NDArray[np.int64]  # [N, layers, 3]
    positions: NDArray[np.int64]  # [N]


class GemmaCpuRunner:
    """Compiled layers and output layer over packed weights, ready to run."""

    batch_invariant = True  # each token is worked out by itself
    can_rewind = True
    max_sequences = MAX_SEQUENCES
    worth_reading = 1

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` carries the adapter where there is one.

        Packing the embedded pair takes two seconds, compiling about twenty, once for a machine.
        """
        inner = model.base_model
        config = model.config.get_text_config()
        self._embed = inner.embed_tokens
        (self._last_norm,) = _norms(inner.norm)
        self._eps = np.float32(config.rms_norm_eps)
        self._rotary = {kind: RotaryTables(inner.rotary_emb, kind) for kind in set(config.layer_types)}
        self._layers = [_layer(layer, config.num_key_value_heads) for layer in inner.layers]
        self._head = pack(model.get_output_embeddings().weight.detach().numpy())
        self.forward([Chunk(self.open(1, None), [0], 1, 1.0)])  # for the compiler

    def open(self, capacity: int, prefix: Prefix[GemmaCache] | None) -> GemmaCache:
        shapes = [(layer.groups, capacity, len(layer.norms_in[1])) for layer in self._layers]
        layers = [(aligned_empty(*shape), aligned_empty(*shape)) for shape in shapes]
        length = prefix.length if prefix else 0
        for grown, held in zip(layers, prefix.cache.layers if prefix else (), strict=False):
            for new, old in zip(grown, held, strict=True):
                new[:, :length] = old[:, :length]
        places = [(keys.ctypes.data, values.ctypes.data, capacity) for keys, values in layers]
        return GemmaCache(length, capacity, layers, np.array(places, np.int64))

    @torch.inference_mode()
    def forward(self, batch: Sequence[Chunk[GemmaCache]]) -> Sequence[torch.Tensor]:
        """See `Runner`. Raises RuntimeError where a cache has no room for its tokens."""
        if any(chunk.cache.length + len(chunk.tokens) > chunk.cache.capacity for chunk in batch):
            raise RuntimeError("a sequence has got longer than the room that was asked for")
        with all_cores("compiled layers"):
            hidden = self._hidden(batch)
            logits = self._logits(hidden[wanted_rows(batch)])
        for chunk in batch:
            chunk.cache.length += len(chunk.tokens)
        return logits.split([chunk.rows for chunk in batch])

    def close(self, cache: GemmaCache) -> None:
        """Nothing to give back: keys and values go with the cache."""

    def _hidden(self, batch: Sequence[Chunk[GemmaCache]]) -> Floats:
        """Last hidden states [N, D] of all tokens; each is a row of its own, whatever sequence it belongs to."""
        hidden = self._embed(torch.tensor([token for chunk in batch for token in chunk.tokens])).numpy()
        caches = [chunk.cache for chunk in batch for _ in chunk.tokens]
        positions = [chunk.cache.length + ahead for chunk in batch for ahead in range(len(chunk.tokens))]
        shared = Pass(
            factors=np.array([chunk.adapter for chunk in batch for _ in chunk.tokens], np.float32),
            rotary={kind: rotary.at(positions) for kind, rotary in self._rotary.items()},
            stored=np.stack([cache.stored for cache in caches]),
            positions=np.array(positions, np.int64),
        )
        for number, layer in enumerate(self._layers):
            self._pass(number, layer, hidden, shared)
        kernels.norm(hidden, self._last_norm, self._eps)
        return hidden

    def _pass(self, number: int, layer: Layer, hidden: Floats, shared: Pass) -> None:
        """One layer over hidden [N, D], in place."""
        rows, factors, groups, eps = len(hidden), shared.factors, layer.groups, self._eps
        cos, sin = shared.rotary[layer.kind]
        qkv = aligned_empty(rows, len(layer.qkv.codes))
        attended = aligned_empty(rows, layer.after_attention[0].codes.shape[1])
        kernels.qkv_projection(hidden, layer.qkv, factors, layer.norms_in, eps, cos, sin, groups, qkv)
        attention.attend(qkv, shared.stored, shared.positions, number, groups, layer.window, layer.scale, attended)
        kernels.output_and_mlp(hidden, attended, layer.after_attention, factors, layer.norms_out, eps)

    def _logits(self, hidden: Floats) -> torch.Tensor:
        """Logits [R, V] of R hidden states [R, D]."""
        found = np.empty((len(hidden), len(self._head.codes)), np.float32)
        if len(hidden):
            kernels.multiply(self._head, hidden, np.zeros(len(hidden), np.float32), found)
        return torch.from_numpy(found)


class RotaryTables:
    """transformers' rotary cosines and sines [positions, S] of one kind of layer, as far as they were needed."""

    def __init__(self, rotary: nn.Module, kind: str) -> None:
        self._rotary, self._kind = rotary, kind
        self._cos = self._sin = np.zeros((0, 0), np.float32)

    def at(self, positions: Sequence[int]) -> tuple[Floats, Floats]:
        """Both for R positions, [R, S]."""
        if max(positions) >= len(self._cos):
            self._grow(max(positions) + MORE_POSITIONS)
        return self._cos[positions], self._sin[positions]

    def _grow(self, count: int) -> None:
        found = self._rotary(torch.zeros(1), torch.arange(count)[None], self._kind)
        self._cos, self._sin = (table[0].numpy() for table in found)


def aligned_empty(*shape: int) -> Floats:
    """Where numpy's own arrays begin, many vectors lie across two cache lines, which costs a quarter of the speed."""
    return torch.empty(shape).numpy()


def _layer(layer: nn.Module, groups: int) -> Layer:
    attending, forward = layer.self_attn, layer.mlp
    return Layer(
        kind=attending.layer_type,
        window=attending.sliding_window or EVERYTHING,
        scale=np.float32(attending.scaling),
        groups=groups,
        qkv=_matrix(attending.q_proj, attending.k_proj, attending.v_proj),
        after_attention=(
            _matrix(attending.o_proj),
            _matrix(forward.gate_proj, forward.up_proj),
            _matrix(forward.down_proj),
        ),
        norms_in=_norms(layer.input_layernorm, attending.q_norm, attending.k_norm),
        norms_out=_norms(
            layer.post_attention_layernorm, layer.pre_feedforward_layernorm, layer.post_feedforward_layernorm
        ),
    )


def _norms(*norms: nn.Module) -> tuple[Floats, ...]:
    return tuple((1 + norm.weight).detach().numpy() for norm in norms)


def _matrix(*layers: nn.Module) -> PackedMatrix:
    """Linear layers that read the same input, as one; an adapter's part beside each."""
    plain = [layer.base if isinstance(layer, LowRankLinear) else layer for layer in layers]
    matrix = pack(torch.cat([layer.weight.detach() for layer in plain]).numpy())
    low = [_low_rank(layer) for layer in layers]
    rank = max(len(down) for down, _ in low)
    if rank == 0:
        return matrix
    sizes = [len(layer.weight) for layer in plain]
    return matrix._replace(
        down=np.concatenate([_padded(down, rank) for down, _ in low]),
        up=np.ascontiguousarray(np.concatenate([_padded(up.T, rank) for _, up in low], axis=1)),
        bounds=np.cumsum([0, *sizes]),
    )


def _low_rank(layer: nn.Module) -> tuple[Floats, Floats]:
    """A [r, in] and B [out, r] of one layer; r is 0 where no adapter is on it."""
    if isinstance(layer, LowRankLinear):
        return layer.down.detach().numpy(), layer.up.detach().numpy()
    outputs, inputs = layer.weight.shape
    return np.zeros((0, inputs), np.float32), np.zeros((outputs, 0), np.float32)


def _padded(array: Floats, rank: int) -> Floats:
    """With rows of zeros up to that number."""
    return np.pad(array, ((0, rank - len(array)), (0, 0)))


def packed_runner(model: PreTrainedModel) -> GemmaCpuRunner | None:
    """A runner if this is Gemma 3 as it was trained and its weights pack; None if not."""
    config = model.config.get_text_config()
    is_usual = all(getattr(config, name, None) == value for name, value in USUAL.items())
    is_wide = config.head_dim % HEAD_STEP == 0
    if not (is_usual and is_wide) or not is_packed(_matrix(model.base_model.layers[0].self_attn.o_proj)):
        return None
    return GemmaCpuRunner(model)
