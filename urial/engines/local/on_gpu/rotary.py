"""Rotary positions of queries and keys as one kernel, in place of ten.

Families apply them by a function of their module, under one name: the copy of a layer's forward that is put into our
own tree finds the kernel under that name. Nothing of transformers itself is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from urial.engines.local.on_gpu.norms import are_equal

NAME = "apply_rotary_pos_emb"

Rotate = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def put_kernel_rotary(tree: nn.Module, kernels: ModuleType) -> None:
    """Into every attention of a tree whose family turns positions as the kernel does."""
    tried: dict[Rotate, bool] = {}
    for module in tree.modules():
        forward = type(module).forward
        if not isinstance(forward, FunctionType) or NAME not in forward.__code__.co_names:
            continue
        own, like = forward.__globals__[NAME], next(module.parameters())
        if own not in tried:
            tried[own] = like.is_floating_point() and turns_alike(own, kernels, like)
        if tried[own]:
            module.forward = MethodType(with_another(forward, by_kernel(own, kernels)), module)


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
        are_whole = query.shape[-1] == key.shape[-1] == cos.shape[-1] and cos.dtype == query.dtype
        if rest or options or not are_whole:
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
    except (TypeError, ValueError, RuntimeError):  # a function of other arguments
        return False
