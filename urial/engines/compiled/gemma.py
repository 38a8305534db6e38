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
from numpy.typing import NDArray
from torch import nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from urial.compiled.cores import all_cores
from urial.engines.cache import grow
from urial.engines.compiled import attention, kernels
from urial.engines.compiled.blocks import is_packed, pack
from urial.engines.compiled.kernels import Floats, Matrix
from urial.engines.stopping import Check, go_on
from urial.weights.adapters import LowRankLinear

EVERYTHING = 2**62  # positions: more than any text has
MORE_POSITIONS = 1024  # that rotary tables grow by
READ_AT_ONCE = 64  # tokens of a prompt: their states stay in a core's cache
HEAD_STEP = 16  # numbers of a value that attention takes at a time
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
    """One answer: for each layer its keys and values [G, C, S], where they lie, and how many positions they hold."""

    is_adapted: bool
    position: int  # of the next token
    end: int  # the first position that it has no room for
    layers: list[tuple[Floats, Floats]]
    stored: NDArray[np.int64]  # [layers, 3]: the addresses of keys and values, and C
    held: NDArray[np.int64]  # [layers]


class Layer(NamedTuple):
    """One layer's arrays; norms are weights as they are multiplied with."""

    kind: str  # sliding or full attention
    window: int  # positions that a query looks back over, its own included
    scale: np.float32
    groups: int
    entering: Matrix
    leaving: tuple[Matrix, Matrix, Matrix]
    norms_in: tuple[Floats, Floats, Floats]
    norms_out: tuple[Floats, Floats, Floats]


class Step(NamedTuple):
    """What the layers share in one pass over R rows: a token of each of R answers, or R tokens of one text."""

    adapted: int  # the first row with the adapter
    turns: dict[str, tuple[Floats, Floats]]  # cosines and sines [R, S] of each kind of layer
    stored: NDArray[np.int64]  # [R, layers, 3]
    held: NDArray[np.int64]  # [R, layers]


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
        layers = [(np.empty(shape, np.float32), np.empty(shape, np.float32)) for shape in shapes]
        self.hidden([_place(layers, [0] * len(layers), 0, 1, is_adapted=True)], [0])

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> GemmaPlace:
        held = [_told(layer, spec) for layer, spec in zip(prompt.layers, self._layers, strict=True)]
        layers = [(_with_room(keys, room), _with_room(values, room)) for keys, values in held]
        return _place(layers, [keys.shape[1] for keys, _ in held], length, room, is_adapted=is_adapted)

    def hidden(self, places: Sequence[GemmaPlace], tokens: Sequence[int]) -> torch.Tensor:
        """Raises RuntimeError where a place has no room for the token."""
        if any(place.position >= place.end for place in places):
            raise RuntimeError("an answer has got longer than the room that was asked for")
        hidden = self._moved(places, [0] * len(places), tokens)
        for place in places:
            place.position += 1
            place.held += 1
        return torch.from_numpy(hidden)

    @torch.inference_mode()
    def reader(
        self, ids: Sequence[int], cache: DynamicCache, *, is_adapted: bool, check: Check = go_on
    ) -> torch.Tensor:
        """See `PromptReader`: each token is a row, so its states are those of a step, to the last bit."""
        place = self.open(cache, cache.get_seq_length(), len(ids), is_adapted=is_adapted)
        found = []
        for first in range(0, len(ids), READ_AT_ONCE):
            check()
            part = ids[first : first + READ_AT_ONCE]
            found.append(self._moved([place] * len(part), range(first, first + len(part)), part))
        for layer, arrays in zip(cache.layers, place.layers, strict=True):
            keys, values = (torch.from_numpy(array[None]) for array in arrays)
            grow(layer, keys, values, len(ids))
        return torch.from_numpy(np.concatenate(found))

    def _moved(self, places: Sequence[GemmaPlace], ahead: Sequence[int], tokens: Sequence[int]) -> Floats:
        """Last hidden states [R, D] of R tokens, each so many behind the next one of its place."""
        hidden = self._embed(torch.tensor(tokens)).numpy()
        positions = [place.position + more for place, more in zip(places, ahead, strict=True)]
        step = Step(
            adapted=sum(not place.is_adapted for place in places),
            turns={kind: turns.at(positions) for kind, turns in self._turns.items()},
            stored=np.stack([place.stored for place in places]),
            held=np.stack([place.held + more for place, more in zip(places, ahead, strict=True)]),
        )
        with all_cores("compiled layers"):
            for number, layer in enumerate(self._layers):
                self._pass(number, layer, hidden, step)
            kernels.norm(hidden, self._last_norm, self._eps)
        return hidden

    def close(self, place: GemmaPlace) -> None:
        """Nothing to give back: keys and values go with the place."""

    def _pass(self, number: int, layer: Layer, hidden: Floats, step: Step) -> None:
        """One layer over hidden [R, D], in place."""
        rows, adapted, groups, eps = len(hidden), step.adapted, layer.groups, self._eps
        cos, sin = step.turns[layer.kind]
        entered = aligned_empty(rows, len(layer.entering.codes))
        mixed = aligned_empty(rows, layer.leaving[0].codes.shape[1])
        kernels.enter(hidden, layer.entering, adapted, layer.norms_in, eps, cos, sin, groups, entered)
        attention.attend(entered, step.stored, step.held, number, groups, layer.window, layer.scale, mixed)
        kernels.leave(hidden, mixed, layer.leaving, adapted, layer.norms_out, eps)


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


def _place(
    layers: list[tuple[Floats, Floats]], held: list[int], position: int, room: int, *, is_adapted: bool
) -> GemmaPlace:
    return GemmaPlace(
        is_adapted,
        position,
        position + room,
        layers,
        np.array([(keys.ctypes.data, values.ctypes.data, keys.shape[1]) for keys, values in layers], np.int64),
        np.array(held, np.int64),
    )


def aligned_empty(*shape: int) -> Floats:
    """Where numpy's own arrays begin, many vectors lie across two cache lines, which costs a quarter of the speed."""
    return torch.empty(shape).numpy()


def _told(held: DynamicLayer, layer: Layer) -> tuple[Floats, Floats]:
    """Keys and values [G, T, S] of one layer of a cache, which has none before its first token."""
    if held.is_initialized:
        return held.keys[0].numpy(), held.values[0].numpy()
    none = np.empty((layer.groups, 0, len(layer.norms_in[1])), np.float32)
    return none, none


def _with_room(held: Floats, room: int) -> Floats:
    """[G, T, S] as [G, T + room, S]."""
    groups, length, size = held.shape
    grown = aligned_empty(groups, length + room, size)
    grown[:, :length] = held
    return grown


def _layer(layer: nn.Module, groups: int) -> Layer:
    attending, forward = layer.self_attn, layer.mlp
    return Layer(
        kind=attending.layer_type,
        window=attending.sliding_window or EVERYTHING,
        scale=np.float32(attending.scaling),
        groups=groups,
        entering=_matrix(attending.q_proj, attending.k_proj, attending.v_proj),
        leaving=(_matrix(attending.o_proj), _matrix(forward.gate_proj, forward.up_proj), _matrix(forward.down_proj)),
        norms_in=_norms(layer.input_layernorm, attending.q_norm, attending.k_norm),
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


def packed_trunk(model: PreTrainedModel) -> GemmaTrunk | None:
    """A trunk if this is Gemma 3 as it was trained and its weights pack; None if not."""
    config = model.config.get_text_config()
    is_usual = all(getattr(config, name, None) == value for name, value in USUAL.items())
    is_wide = config.head_dim % HEAD_STEP == 0
    if not (is_usual and is_wide) or not is_packed(_matrix(model.base_model.layers[0].self_attn.o_proj)):
        return None
    return GemmaTrunk(model)
