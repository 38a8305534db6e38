"""Linear layers that read the same states as one: a narrow product uses a part of a GPU's memory bandwidth only.

The weights are laid side by side, once, and what they were are views of that; so nothing is held twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import nn
from torch.nn import functional

GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class JoinedLinears:
    """Some layers' products in one; each layer fetches its own part, all from the same states."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        self._sizes = [layer.out_features for layer in layers]
        self._weight = side_by_side([layer.weight for layer in layers])
        self._bias = None if layers[0].bias is None else side_by_side([layer.bias for layer in layers])
        self._states: torch.Tensor | None = None
        self._products: dict[int, torch.Tensor] = {}

    def fetch(self, states: torch.Tensor, index: int) -> torch.Tensor:
        """What layer `index` gives. Held until all have fetched theirs."""
        if states is not self._states or index not in self._products:
            found = functional.linear(states, self._weight, self._bias)
            self._states, self._products = states, dict(enumerate(found.split(self._sizes, -1)))
        found = self._products.pop(index)
        if not self._products:
            self._states = None
        return found


class JoinedPart(nn.Module):
    """Stands where one of the layers does."""

    def __init__(self, layer: nn.Linear, joined: JoinedLinears, index: int) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias  # families ask for their type
        self._joined, self._index = joined, index

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., in] to [..., out]."""
        return self._joined.fetch(states, self._index)


def join_linears(tree: nn.Module) -> None:
    """All groups of a tree whose layers are plain and alike."""
    for parent in list(tree.modules()):
        for names in GROUPS:
            layers = [getattr(parent, name, None) for name in names]
            plain = [layer for layer in layers if is_plain(layer)]
            if len(plain) == len(names) and are_alike(plain):
                joined = JoinedLinears(plain)
                for index, (name, layer) in enumerate(zip(names, plain, strict=True)):
                    setattr(parent, name, JoinedPart(layer, joined, index))


def is_plain(layer: object) -> TypeGuard[nn.Linear]:
    """No layer of another class, and no weights of one: those of a quantised layer may hide behind a tensor's face."""
    return type(layer) is nn.Linear and type(layer.weight.data) is torch.Tensor and layer.weight.is_contiguous()


def are_alike(layers: Sequence[nn.Linear]) -> bool:
    kinds = {(layer.in_features, layer.weight.dtype, layer.weight.device, layer.bias is None) for layer in layers}
    return len(kinds) == 1 and len({id(layer.weight) for layer in layers}) == len(layers)


def side_by_side(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """[sum of out, ...] that the parts, of all trees over these tensors, are views of from now on."""
    first, ends = parts[0].data, [part.data_ptr() + part.nbytes for part in parts]
    storages = {part.untyped_storage().data_ptr() for part in parts}
    if len(storages) == 1 and all(part.data_ptr() == end for part, end in zip(parts[1:], ends[:-1], strict=True)):
        return first.as_strided((sum(map(len, parts)), *first.shape[1:]), first.stride())  # by another runner, before
    with torch.inference_mode(False):  # tensors as the ones that they replace
        whole = torch.cat([part.data for part in parts])
    for part, view in zip(parts, whole.split([len(part) for part in parts]), strict=True):
        part.data = view
    return whole
