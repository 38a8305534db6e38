"""Keys and values of many answers in fixed room, so that every step has the same shapes and the same addresses.

A layer's room is two tensors [slots, heads, length, size]; an answer takes one slot and writes each token at its true
position. Which positions a slot sees is a mask, so a step asks nothing of the host: it can be captured as a CUDA graph.
A slot that a step leaves out rides along: what it writes at its position is written again by its next token.
`SlotsCache` stands where transformers expects a cache; `attend_in_slots` is the attention under SLOTS_ATTENTION.
Knows nothing about models, sampling or who waits for an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from urial.errors import EngineError

SLOTS_ATTENTION = "urial_slots"
NO_ROOM = "The GPU's memory is full, so there is no room for one more answer; try again later, or a shorter query."
LENGTH_STEP = 512  # positions by which room grows: each growth moves all keys and voids what was captured
KEPT_BYTES = 2**30  # room that stays when nobody is left, so that the next answer finds it and its graphs


@dataclass(slots=True, eq=False)
class Slot:
    """One answer's place: its row in every layer's room."""

    index: int
    position: int  # of the next token
    is_adapted: bool


@dataclass(frozen=True, slots=True)
class SlotLayer:
    """Room of one layer: keys [slots, heads, length, size] and values."""

    keys: torch.Tensor
    values: torch.Tensor
    window: int | None  # the most positions a query may see, itself included; None sees all

    @classmethod
    def like(cls, layer: CacheLayerMixin, slots: int, length: int) -> SlotLayer:
        """Empty room for what a prompt's layer holds."""
        keys, values = (_zeros(tensor, slots, length) for tensor in (layer.keys, layer.values))
        return cls(keys, values, getattr(layer, "sliding_window", None))

    def grown(self, slots: int, length: int) -> SlotLayer:
        """Larger room with the same content."""
        keys, values = (_zeros(tensor, slots, length) for tensor in (self.keys, self.values))
        for new, old in ((keys, self.keys), (values, self.values)):
            new[: old.shape[0], :, : old.shape[2]] = old
        return SlotLayer(keys, values, self.window)

    def cut(self, slots: int, length: int) -> SlotLayer:
        """The first of it, as views."""
        return SlotLayer(self.keys[:slots, :, :length], self.values[:slots, :, :length], self.window)

    def put(self, index: int, layer: CacheLayerMixin, length: int) -> None:
        """Copy a prompt of `length` tokens in; a sliding layer holds only its last positions."""
        for mine, prompt in ((self.keys, layer.keys), (self.values, layer.values)):
            mine[index].zero_()  # what is masked still counts as zero times itself: it has to be finite
            mine[index, :, length - prompt.shape[2] : length] = prompt[0]


def _zeros(like: torch.Tensor, slots: int, length: int) -> torch.Tensor:
    return like.new_zeros(slots, like.shape[1], length, like.shape[3])


def next_power(count: int) -> int:
    """The first power of two from `count` on: 1, 2, 4, 8, 16 slots and so on."""
    return 1 << (count - 1).bit_length()


class Slots:
    """The room of all answers, and who has which slot."""

    def __init__(self, moved: Callable[[], None], kept_bytes: int = KEPT_BYTES) -> None:
        """`moved` is called before tensors change their address or go, so that nothing holds on to the old ones."""
        self._moved = moved
        self._kept_bytes = kept_bytes
        self._taken: dict[int, Slot] = {}
        self.layers: list[SlotLayer] = []

    @property
    def count(self) -> int:
        return self.layers[0].keys.shape[0] if self.layers else 0

    @property
    def length(self) -> int:
        return self.layers[0].keys.shape[2] if self.layers else 0

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for layer in self.layers for tensor in (layer.keys, layer.values))

    @property
    def taken(self) -> list[Slot]:
        return list(self._taken.values())

    @property
    def in_use(self) -> int:
        """Slots that a step has to run: up to the last that is taken, in powers of two."""
        return next_power(1 + max(self._taken, default=0))

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> Slot:
        """A slot for up to `room` tokens after a prompt of `length` tokens, which is copied."""
        index = next(index for index in range(len(self._taken) + 1) if index not in self._taken)
        self._make_room(prompt, index + 1, length + room + 1)  # one more: riding along, a full answer still writes
        for mine, layer in zip(self.layers, prompt.layers, strict=True):
            mine.put(index, layer, length)
        slot = self._taken[index] = Slot(index, length, is_adapted)
        return slot

    def close(self, slot: Slot) -> None:
        """Free the slot for another answer, and large room when nobody is left."""
        if self._taken.get(slot.index) is slot:
            del self._taken[slot.index]
        if not self._taken and self.bytes > self._kept_bytes:
            self._moved()
            self.layers = []

    def _make_room(self, prompt: DynamicCache, count: int, length: int) -> None:
        """Raises EngineError where the memory has no such room; what there was stays usable."""
        count = max(self.count, next_power(count))
        length = max(self.length, -(-length // LENGTH_STEP) * LENGTH_STEP)
        if (count, length) == (self.count, self.length):
            return
        self._moved()
        try:
            if self._taken:
                self._grow(count, length)
            else:
                self._renew(prompt, count, length)
        except torch.OutOfMemoryError as error:
            raise EngineError(NO_ROOM) from error

    def _renew(self, prompt: DynamicCache, count: int, length: int) -> None:
        """Nobody has anything to keep: the old room goes before the new one comes."""
        self.layers = []
        self.layers = [SlotLayer.like(layer, count, length) for layer in prompt.layers]

    def _grow(self, count: int, length: int) -> None:
        """Layer by layer, so that two rooms never exist at once."""
        before = self.count, self.length
        try:
            for index, layer in enumerate(self.layers):
                self.layers[index] = layer.grown(count, length)
        except torch.OutOfMemoryError:
            self.layers = [layer.cut(*before) for layer in self.layers]
            raise


@dataclass(frozen=True, slots=True)
class Seen:
    """A layer's keys for the first slots, and what each slot sees of them."""

    keys: torch.Tensor  # [slots, heads, length, size]
    mask: torch.Tensor  # [slots, 1, 1, length]: 0 where a slot sees, -inf where not


class SlotsCache:
    """The cache of one step over the first `count` slots, whose tokens go to `positions` [count, 1]."""

    def __init__(self, layers: list[SlotLayer], count: int, positions: torch.Tensor) -> None:
        self._layers = layers
        self._count = count
        self._positions = positions
        self._masks = {window: self._mask(window) for window in {layer.window for layer in layers}}

    def _mask(self, window: int | None) -> torch.Tensor:
        keys = self._layers[0].keys
        places = torch.arange(keys.shape[2], device=keys.device)
        hidden = places > self._positions
        if window is not None:
            hidden |= places <= self._positions - window
        mask = torch.zeros(hidden.shape, dtype=keys.dtype, device=keys.device)
        return mask.masked_fill_(hidden, float("-inf"))[:, None, None]

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Seen, torch.Tensor]:
        """Write each slot's position ([count, heads, 1, size] in all); returns all keys with their mask, and values."""
        layer = self._layers[layer_idx]
        return Seen(self._write(layer.keys, keys), self._masks[layer.window]), self._write(layer.values, values)

    def _write(self, room: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        index = self._positions[:, None, None].expand(new.shape)
        return room[: self._count].scatter_(2, index, new)


def attend_in_slots(
    module: nn.Module,
    query: torch.Tensor,
    seen: Seen,
    values: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """One query a slot [slots, heads, 1, size] over that slot's keys.

    Heads that share their keys go as several queries of one head: kernels that take a mask read the keys once so.
    """
    slots, heads, _, size = query.shape
    grouped = query.reshape(slots, seen.keys.shape[1], -1, size)
    found = functional.scaled_dot_product_attention(grouped, seen.keys, values, attn_mask=seen.mask, scale=scaling)
    return found.reshape(slots, 1, heads, -1), None


AttentionInterface.register(SLOTS_ATTENTION, attend_in_slots)
