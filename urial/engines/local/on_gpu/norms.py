"""A family's RMS norms as one kernel each, in place of six."""

from __future__ import annotations

import copy
from itertools import product
from types import ModuleType
from typing import Any

import torch
from torch import nn

from urial.engines.local.on_gpu.kernels import DTYPES

TRIED = 4  # rows by which the kernel is compared with a norm
SPACINGS = 2  # of numbers of that size that they may differ by: sums are taken in another order
EPSILONS = ("variance_epsilon", "eps")  # what families call it


class KernelNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) times the weight, with a family's options."""

    def __init__(self, norm: nn.Module, kernels: ModuleType, options: dict[str, bool]) -> None:
        super().__init__()
        self.weight: Any = norm.weight
        self._epsilon, self._kernels, self._options = epsilon_of(norm), kernels, options
        self._own = (norm,)  # no child of this one

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., D] to [..., D]."""
        if states.dtype != self.weight.dtype:
            return self._own[0](states)
        found: torch.Tensor = self._kernels.rms_norm(states, self.weight, self._epsilon, **self._options)
        return found


def put_kernel_norms(tree: nn.Module, kernels: ModuleType) -> None:
    """In place of every norm of a tree that the kernel is equal to; one of each kind is tried."""
    tried: dict[tuple[object, ...], dict[str, bool] | None] = {}
    for parent in list(tree.modules()):
        for name, child in list(parent.named_children()):
            if not looks_like_rms_norm(child):
                continue
            weight: Any = child.weight
            kind = type(child), weight.dtype, weight.shape, epsilon_of(child)
            if kind not in tried:
                tried[kind] = options_of(child, kernels)
            if (options := tried[kind]) is not None:
                setattr(parent, name, KernelNorm(child, kernels, options))


def looks_like_rms_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    is_vector = isinstance(weight, torch.Tensor) and weight.ndim == 1 and weight.dtype in DTYPES
    return "RMSNorm" in type(module).__name__ and is_vector and epsilon_of(module) is not None


def epsilon_of(norm: nn.Module) -> float | None:
    return next((value for name in EPSILONS if isinstance(value := getattr(norm, name, None), float)), None)


@torch.inference_mode()
def options_of(norm: nn.Module, kernels: ModuleType) -> dict[str, bool] | None:
    """With which the kernel is this norm but for the last digit; None where there are none."""
    trial = copy.deepcopy(norm)
    weight: Any = trial.weight
    made = torch.Generator(weight.device).manual_seed(0)
    values = torch.rand(weight.shape, generator=made, device=weight.device)
    trial.weight = nn.Parameter(values.to(weight.dtype), requires_grad=False)
    states = torch.randn(TRIED, len(weight), generator=made, device=weight.device).to(weight.dtype)
    best, least = None, float("inf")
    for from_one, rounds in product((False, True), repeat=2):
        options = {"from_one": from_one, "rounds": rounds}
        try:
            wanted, found = trial(states), KernelNorm(trial, kernels, options)(states)
        except Exception:  # of a compiler, or a norm that is asked for otherwise
            return None
        off = float((found.double() - wanted.double()).abs().sum())
        if found.dtype == wanted.dtype and are_equal(found, wanted) and off < least:
            best, least = options, off
    return best


def are_equal(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """But for the last digit."""
    return torch.allclose(found, wanted, rtol=SPACINGS * torch.finfo(wanted.dtype).eps, atol=1e-6)
