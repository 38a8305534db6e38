"""A trunk for Gemma 3 in float32 on a processor: one compiled pass over the packed weights moves several answers on.

The sums are those of transformers' layers in float32, in another order; the weights are the same to the last bit
(`blocks`). Knows Gemma 3's layers; nothing about output layers, sampling or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from urial.engines.compiled import kernels
from urial.engines.compiled.blocks import is_packed, pack
from urial.engines.compiled.cores import all_cores
from urial.engines.compiled.kernels import Floats, Matrix
from urial.weights.adapters import LowRankLinear

MORE_POSITIONS = 1024  # that rotary tables grow by
USUAL = {
    "model_type": "gemma3_text",
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "use_bidirectional_attention": False,
    "final_logit_softcapping": None,
}


@dataclass(slots=True)
class GemmaPlace:
    """One answer: for each layer its keys and values [G, C, S], and how many positions they hold."""

    is_adapted: bool
    position: int  # of the next token
    keys: list[Floats]
    values: list[Floats]
    held: list[int]


class Layer(NamedTuple):
    """One layer's arrays; norms are weights as they are multiplied with."""

    kind: str  # sliding or full attention
    window: int | None
    scale: np.float32
    groups: int
    entering: Matrix
    leaving: tuple[Matrix, Matrix, Matrix]
    norms_in: tuple[Floats, Floats, Floats]
    norms_out: tuple[Floats, Floats, Floats]


class GemmaTrunk:
    """Compiled layers over packed weights, ready to run."""

    keeps_rows_apart = True  # each is worked out by itself

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` carries the adapter where there is one.

        Packing the embedded pair takes half a second, compiling about twenty, once for a machine.
        """
        inner = model.base_model
        config = model.config.get_text_config()
        self._embed = inner.embed_tokens
        (self._last_norm,) = _norms(inner.norm)
        self._eps = np.float32(config.rms_norm_eps)
        self._turns = {kind: Turns(inner.rotary_emb, kind) for kind in set(config.layer_types)}
        self._layers = [_layer(layer, config.num_key_value_heads) for layer in inner.layers]
        self._warm_up()

    @torch.inference_mode()
    def _warm_up(self) -> None:
        """One token after nothing, for the compiler."""
        shapes = [(layer.groups, 1, len(layer.norms_in[1])) for layer in self._layers]
        keys, values = ([np.empty(shape, np.float32) for shape in shapes] for _ in range(2))
        self.hidden([GemmaPlace(True, 0, keys, values, [0] * len(shapes))], [0])

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> GemmaPlace:
        return GemmaPlace(
            is_adapted,
            length,
            [_with_room(layer.keys, room) for layer in prompt.layers],
            [_with_room(layer.values, room) for layer in prompt.layers],
            [layer.keys.shape[2] for layer in prompt.layers],
        )

    def hidden(self, places: Sequence[GemmaPlace], tokens: Sequence[int]) -> torch.Tensor:
        hidden = self._embed(torch.tensor(tokens)).numpy()
        adapted = sum(not place.is_adapted for place in places)
        with all_cores("compiled layers"):
            for number, layer in enumerate(self._layers):
                self._pass(number, layer, hidden, places, adapted)
            kernels.norm(hidden, self._last_norm, self._eps)
        for place in places:
            place.position += 1
        return torch.from_numpy(hidden)

    def close(self, place: GemmaPlace) -> None:
        """Nothing to give back: keys and values go with the place."""

    def _pass(self, number: int, layer: Layer, hidden: Floats, places: Sequence[GemmaPlace], adapted: int) -> None:
        """One layer over hidden [R, D], in place."""
        cos, sin = self._turns[layer.kind].at([place.position for place in places])
        entered = np.empty((len(places), len(layer.entering.codes)), np.float32)
        mixed = np.empty((len(places), layer.leaving[0].codes.shape[1]), np.float32)
        kernels.enter(hidden, layer.entering, adapted, layer.norms_in, self._eps, cos, sin, layer.groups, entered)
        for row, place in enumerate(places):
            end = place.held[number]
            start = max(0, end + 1 - layer.window) if layer.window else 0
            kernels.attend(entered[row], place.keys[number], place.values[number], start, end, layer.scale, mixed[row])
            place.held[number] = end + 1
        kernels.leave(hidden, mixed, layer.leaving, adapted, layer.norms_out, self._eps)


class Turns:
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


def _with_room(held: torch.Tensor, room: int) -> Floats:
    """[1, G, T, S] as [G, T + room, S]."""
    _, groups, length, size = held.shape
    grown = np.empty((groups, length + room, size), np.float32)
    grown[:, :length] = held[0].numpy()
    return grown


def _layer(layer: nn.Module, groups: int) -> Layer:
    attention, forward = layer.self_attn, layer.mlp
    return Layer(
        kind=attention.layer_type,
        window=attention.sliding_window,
        scale=np.float32(attention.scaling),
        groups=groups,
        entering=_matrix(attention.q_proj, attention.k_proj, attention.v_proj),
        leaving=(_matrix(attention.o_proj), _matrix(forward.gate_proj, forward.up_proj), _matrix(forward.down_proj)),
        norms_in=_norms(layer.input_layernorm, attention.q_norm, attention.k_norm),
        norms_out=_norms(
            layer.post_attention_layernorm, layer.pre_feedforward_layernorm, layer.post_feedforward_layernorm
        ),
    )


def _norms(*norms: nn.Module) -> tuple[Floats, ...]:
    return tuple((1 + norm.weight).detach().numpy() for norm in norms)


def _matrix(*layers: nn.Module) -> Matrix:
    """Linear layers that read the same input, as one; an adapter's part beside each."""
    plain = [layer.base if isinstance(layer, LowRankLinear) else layer for layer in layers]
    matrix = pack(torch.cat([layer.weight.detach() for layer in plain]).numpy())
    low = [_low_rank(layer) for layer in layers]
    rank = max(len(down) for down, _ in low)
    if rank == 0:
        return matrix
    sizes = [len(layer.weight) for layer in plain]
    return matrix._replace(
        down=np.concatenate([_padded(down, rank, 0) for down, _ in low]),
        up=np.concatenate([_padded(up, rank, 1) for _, up in low]),
        part=np.repeat(np.arange(len(layers)) * rank, sizes),
    )


def _low_rank(layer: nn.Module) -> tuple[Floats, Floats]:
    """A [r, in] and B [out, r] of one layer; r is 0 where no adapter is on it."""
    if isinstance(layer, LowRankLinear):
        return layer.down.detach().numpy(), layer.up.detach().numpy()
    outputs, inputs = layer.weight.shape
    return np.zeros((0, inputs), np.float32), np.zeros((outputs, 0), np.float32)


def _padded(array: Floats, size: int, axis: int) -> Floats:
    """With zeros at the end of one axis up to that size."""
    missing = [(0, size - array.shape[a] if a == axis else 0) for a in (0, 1)]
    return np.pad(array, missing)


def packed_trunk(model: PreTrainedModel) -> GemmaTrunk | None:
    """A trunk if this is Gemma 3 as it was trained and its weights pack; None if not."""
    config = model.config.get_text_config()
    is_usual = all(getattr(config, name, None) == value for name, value in USUAL.items())
    if not is_usual or not is_packed(_matrix(model.base_model.layers[0].self_attn.o_proj)):
        return None
    return GemmaTrunk(model)
