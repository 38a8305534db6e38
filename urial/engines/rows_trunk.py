"""A trunk for any family that attends plainly: transformers' own layers, each answer's cache a row of its own.

Where a sibling is an adapter on the base, both share one reading of the weights: the adapter's part is added to the
rows of the aligned side only. Knows nothing about output layers, sampling or text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from urial.engines.backbone import backbone_of
from urial.engines.rows import ROWS_ATTENTION, Row, RowsCache
from urial.engines.trunk import fit
from urial.engines.weight_first import put_weights_first
from urial.weights.adapters import LowRankLinear, share_tensors


class AdaptedRows:
    """How many rows at the front of the batch run without the adapter; the layers of one tree share it."""

    def __init__(self) -> None:
        self.first = 0


class RowwiseLowRank(nn.Module):
    """A low-rank layer that adds its part to the rows of the aligned side only."""

    def __init__(self, layer: LowRankLinear, rows: AdaptedRows) -> None:
        super().__init__()
        self.layer = layer
        self._rows = rows

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[R, 1, in] to [R, 1, out]; rows from `first` on are adapted."""
        output = self.layer.base(x)
        first = self._rows.first
        if first < x.shape[0]:
            down = torch.mm(x[first:, 0], self.layer.down.t())
            output[first:, 0].addmm_(down, self.layer.up.t())
        return output


def rows_tree(model: PreTrainedModel, adapted: AdaptedRows) -> PreTrainedModel:
    """A second tree over the same tensors that decodes by row, its low-rank layers limited to the adapted rows."""
    tree = share_tensors(model)
    put_weights_first(tree)
    fit(tree, ROWS_ATTENTION, lambda layer: RowwiseLowRank(layer, adapted))
    return tree


class RowsTrunk:
    """transformers' layers over rows."""

    keeps_rows_apart = False  # a matrix library may sum otherwise for other numbers of rows
    reader = None

    def __init__(self, model: PreTrainedModel) -> None:
        """`model` carries the adapter where there is one."""
        self._adapted = AdaptedRows()
        self._layers = backbone_of(rows_tree(model, self._adapted))
        self._device = model.device

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> Row:
        return Row(prompt, length, room, is_adapted=is_adapted)

    def hidden(self, places: Sequence[Row], tokens: Sequence[int]) -> torch.Tensor:
        self._adapted.first = sum(not row.is_adapted for row in places)
        ids = torch.tensor([[token] for token in tokens], device=self._device)
        positions = torch.tensor([[row.position] for row in places], device=self._device)
        output = self._layers(input_ids=ids, position_ids=positions, past_key_values=RowsCache(places), use_cache=True)
        for row in places:
            row.position += 1
        return output.last_hidden_state[:, 0]

    def close(self, place: Row) -> None:
        """Nothing to give back: a row goes with its object."""
