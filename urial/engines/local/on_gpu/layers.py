"""What a tree of layers gets on a GPU, beside graphs: see the modules that do it."""

from __future__ import annotations

import torch
from torch import nn

from urial.engines.local.on_gpu.joined_linears import join_linears
from urial.engines.local.on_gpu.kernels import kernels_for
from urial.engines.local.on_gpu.norms import put_kernel_norms
from urial.engines.local.on_gpu.rotary import put_kernel_rotary


def use_larger_kernels(tree: nn.Module) -> None:
    """Joins layers and kernels of a tree that lies on one GPU; leaves any other as it is."""
    devices = {parameter.device for parameter in tree.parameters()}
    if len(devices) != 1 or next(iter(devices)).type != "cuda":
        return
    join_linears(tree)
    torch.cuda.empty_cache()  # what the weights lay in before, in pieces that are too small for others
    kernels = kernels_for(next(iter(devices)))
    if kernels is not None:
        put_kernel_norms(tree, kernels)
        put_kernel_rotary(tree, kernels)
