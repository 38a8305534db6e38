"""Linear layers that multiply the other way round: W x^T in place of x W^T, for a few rows on a processor.

The same sums in float32, but a matrix library reads a tall W once and well only when it comes first: for two rows of
the embedded pair's head 28 ms in place of 97, for 48 rows 155 in place of 225 (BENCHMARKS.md). One row goes as two,
which is quicker than a matrix times a vector.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn

MOST_ROWS = 256  # beyond it the usual order is as quick
MANY_ROWS = 8  # from here on turning the product back takes long: 48 rows of the head 200 ms in one go, 155 in parts
PART = 4096  # outputs


def multiply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """[..., in] times a weight [out, in], plus a bias [out]: what `linear` gives, [..., out]."""
    rows = x.reshape(-1, x.shape[-1])
    if not 0 < len(rows) <= MOST_ROWS:
        return nn.functional.linear(x, weight, bias)
    product = _in_parts(rows, weight) if len(rows) >= MANY_ROWS and len(weight) > PART else _whole(rows, weight)
    if bias is not None:
        product += bias
    return product.view(*x.shape[:-1], -1)


def _whole(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    taken = torch.cat([rows, rows]) if len(rows) == 1 else rows
    return torch.mm(weight, taken.t()).t()[: len(rows)].contiguous()


def _in_parts(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Turned back part by part, each while a processor's cache still holds it."""
    product, turned = rows.new_empty(len(rows), len(weight)), rows.t().contiguous()
    for part, into in zip(weight.split(PART), product.split(PART, dim=1), strict=True):
        into.copy_(torch.mm(part, turned).t())
    return product


class WeightFirst(nn.Module):
    """A linear layer over the same parameters."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return multiply(x, self.weight, self.bias)


def suits(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Plain float32 on a processor; half precision, quantised layers and GPUs have kernels of their own."""
    return type(layer) is nn.Linear and layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32


def put_weights_first(tree: nn.Module) -> None:
    """Replace the linear layers that suit, in place; those that peft has wrapped stay, as it asks for their class."""
    for parent in list(tree.modules()):
        if type(parent).__module__.startswith("peft."):
            continue
        for name, child in list(parent.named_children()):
            if suits(child):
                setattr(parent, name, WeightFirst(child))
