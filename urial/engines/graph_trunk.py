"""A trunk whose step always runs the same shapes over the same tensors, so that a GPU can replay it as a graph.

Inputs lie in one small tensor that each step fills; keys and values in `slots.py`; `capture.py` records the step.
Where a sibling is an adapter on the base, its part is added to the slots of the aligned side only.
Knows nothing about output layers, sampling or text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from urial.engines.backbone import backbone_of
from urial.engines.capture import Capture, Step
from urial.engines.norms import put_fused_norms
from urial.engines.slots import KEPT_BYTES, SLOTS_ATTENTION, Slot, Slots, SlotsCache
from urial.engines.trunk import fit
from urial.weights.adapters import LowRankLinear, share_tensors

TOKEN, POSITION, ADAPTED, ORDER = range(4)  # rows of the inputs


class AdaptedSlots:
    """Which slots carry the adapter, as [slots, 1, 1] of ones and zeros; the layers of one tree share it."""

    carried: torch.Tensor


class SlotLowRank(nn.Module):
    """A low-rank layer that adds its part to the slots that carry it."""

    def __init__(self, layer: LowRankLinear, slots: AdaptedSlots) -> None:
        super().__init__()
        self.layer = layer
        self._slots = slots

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[slots, 1, in] to [slots, 1, out]."""
        down = nn.functional.linear(x, self.layer.down) * self._slots.carried
        return self.layer.base(x) + nn.functional.linear(down, self.layer.up)


def slots_tree(model: PreTrainedModel, adapted: AdaptedSlots) -> PreTrainedModel:
    """A second tree over the same tensors that decodes in slots, its low-rank layers limited to those that carry."""
    tree = share_tensors(model)
    put_fused_norms(tree)
    fit(tree, SLOTS_ATTENTION, lambda layer: SlotLowRank(layer, adapted))
    return tree


class GraphTrunk:
    """transformers' layers over slots."""

    keeps_rows_apart = False  # a matrix library may sum otherwise for other numbers of rows
    reader = None

    def __init__(self, model: PreTrainedModel, capture: Capture, kept_bytes: int = KEPT_BYTES) -> None:
        """`model` carries the adapter where there is one, and lies on one device."""
        self._model = model
        self._adapted = AdaptedSlots()
        self._device, self._dtype = model.device, model.dtype
        self._capture = capture
        self._slots = Slots(self._forget, kept_bytes)
        self._inputs = torch.empty(0)
        self._steps: dict[int, Step] = {}  # by the number of slots

    @cached_property
    def _layers(self) -> nn.Module:
        """Made for the first step: some hosts get their GPU later than the model."""
        return backbone_of(slots_tree(self._model, self._adapted))

    @torch.inference_mode()
    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> Slot:
        return self._slots.open(prompt, length, room, is_adapted=is_adapted)

    @torch.inference_mode()
    def hidden(self, places: Sequence[Slot], tokens: Sequence[int]) -> torch.Tensor:
        count = self._slots.in_use
        step = self._step_of(count)
        self._fill(places, tokens)
        states = step().index_select(0, self._inputs[ORDER, : len(places)])  # a copy: the next step writes over it
        for slot in places:
            slot.position += 1
        return states

    def close(self, place: Slot) -> None:
        self._slots.close(place)

    def _forget(self) -> None:
        """The tensors that steps were captured over are about to move."""
        self._steps.clear()
        self._capture.clear()
        self._inputs = torch.empty(0)

    def _step_of(self, count: int) -> Step:
        if count not in self._steps:
            if len(self._inputs) == 0:
                self._inputs = torch.zeros(4, self._slots.count, dtype=torch.long, device=self._device)
            self._ride_along()
            self._steps[count] = self._capture(partial(self._run, count))
        return self._steps[count]

    def _ride_along(self) -> None:
        """Inputs of a step that moves nobody: a capture's first runs write only what will be written again."""
        self._fill([], [])

    def _fill(self, places: Sequence[Slot], tokens: Sequence[int]) -> None:
        """One copy to the device, which the host does not wait for."""
        rows = [[0] * self._slots.count for _ in range(4)]
        for slot in self._slots.taken:
            rows[POSITION][slot.index], rows[ADAPTED][slot.index] = slot.position, slot.is_adapted
        for order, (slot, token) in enumerate(zip(places, tokens, strict=True)):
            rows[TOKEN][slot.index], rows[ORDER][order] = token, slot.index
        filled = torch.tensor(rows, dtype=torch.long, pin_memory=self._device.type == "cuda")
        self._inputs.copy_(filled, non_blocking=True)

    def _run(self, count: int) -> torch.Tensor:
        """Hidden states [count, D] of one step over the first slots: no shape and no branch depends on a value."""
        tokens, positions, adapted, _ = self._inputs[:, :count].unsqueeze(-1)
        self._adapted.carried = adapted[:, None].to(self._dtype)
        cache = SlotsCache(self._slots.layers, count, positions)
        output = self._layers(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=True)
        return output.last_hidden_state[:, 0]
