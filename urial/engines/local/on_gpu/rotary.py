"""Rotary positions of queries and keys as one kernel, in place of ten.

Families apply them by a function of their module, under one name: layers of our own tree get a class of their own, in
which a copy of the family's forward finds the kernel under that name. Nothing of transformers itself is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from urial.engines.local.on_gpu.norms import are_equal

NAME = "apply_rotary_pos_emb"

Rotate = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def put_kernel_rotary(tree: nn.Module, kernels: ModuleType) -> None:
    """Into every attention of a tree whose family turns positions as the kernel does."""
    like = next(parameter for parameter in tree.parameters() if parameter.is_floating_point())  # some may be quantised
    turning: dict[type, type] = {}
    for module in tree.modules():
        kind, forward = type(module), type(module).forward
        if not isinstance(forward, FunctionType) or NAME not in forward.__code__.co_names:
            continue
        if kind not in turning:
            own = forward.__globals__[NAME]
            with_kernel = {"forward": with_another(forward, by_kernel(own, kernels))}
            turning[kind] = type(kind.__name__, (kind,), with_kernel) if turns_alike(own, kernels, like) else kind
        module.__class__ = turning[kind]


def with_another(forward: FunctionType, rotate: Rotate) -> FunctionType:
    """The same function with `rotate` under the name."""
    names = {**forward.__globals__, NAME: rotate}
    made = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    made.__kwdefaults__ = forward.__kwdefaults__
    return made


def by_kernel(own: Rotate, kernels: ModuleType) -> Rotate:
    """The kernel for heads that are turned as a whole; what else is asked for goes the family's own way."""

    def rotate(
        query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        are_whole = query.shape[-1] == key.shape[-1] == cos.shape[-1] and query.ndim == cos.ndim + 1 == 4
        are_alike = query.dtype == key.dtype == cos.dtype and len(cos) in (1, len(query))
        if rest or options or not (are_whole and are_alike):
            return own(query, key, cos, sin, *rest, **options)
        turned: tuple[torch.Tensor, torch.Tensor] = kernels.rotate(query, key, cos, sin)
        return turned

    return rotate


@torch.inference_mode()
def turns_alike(own: Rotate, kernels: ModuleType, like: torch.Tensor) -> bool:
    made = torch.Generator(like.device).manual_seed(0)
    shapes = ((2, 4, 3, 64), (2, 2, 3, 64), (2, 3, 64), (2, 3, 64))
    asked = [torch.randn(shape, generator=made, device=like.device).to(like.dtype) for shape in shapes]
    try:
        pairs = zip(kernels.rotate(*asked), own(*asked), strict=True)
        return all(found.dtype == wanted.dtype and are_equal(found, wanted) for found, wanted in pairs)
    except Exception:  # of a compiler, or a function of other arguments
        return False
