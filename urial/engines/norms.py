"""RMS norms as one kernel each: families write them as eight small ones, and a step of an 8B model has 65 of them.

torch's own `rms_norm` is fused on a GPU. Families differ in where they round and in whether a weight of 0 means 1, so
a layer is replaced only by what gives the same on a trial. Formula: https://arxiv.org/abs/1910.07467, eq. 4.
Knows layers; nothing about what they belong to.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

TRIALS = 4  # rows


class RmsNorm(nn.Module):
    """x / rms(x) * weight, as Llama's families have it."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, self.eps)


class OffsetRmsNorm(nn.Module):
    """x / rms(x) * (1 + weight) in float32, as Gemma's families have it."""

    def __init__(self, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.scale, self.eps = nn.Parameter(1 + weight.float(), requires_grad=False), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x.float(), self.scale.shape, self.scale, self.eps).type_as(x)


def put_fused_norms(tree: nn.Module) -> None:
    """Replace a tree's RMS norms in place, where torch's own gives the same."""
    for parent in list(tree.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                setattr(parent, name, fused_norm(child))


@torch.inference_mode()
def fused_norm(norm: nn.Module) -> nn.Module:
    """The layer in fewer kernels, or as it is."""
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    weight = getattr(norm, "weight", None)
    if eps is None or weight is None or weight.dim() != 1:
        return norm
    x = torch.linspace(-3, 5, TRIALS * len(weight), device=weight.device).view(TRIALS, -1).to(weight.dtype)
    wanted = norm(x)
    step = max(1e-5, 4 * torch.finfo(weight.dtype).eps)  # one or two roundings more or less
    for made in (RmsNorm(weight, eps), OffsetRmsNorm(weight, eps)):
        if torch.allclose(made(x), wanted, rtol=step, atol=step):
            return made
    return norm
