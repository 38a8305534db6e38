"""Whether our own kernels run on a GPU: Triton wants a C compiler, and no card before Ampere."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from types import ModuleType

import torch
from torch.nn import functional

from urial.engines.local.family_trial import one_line

log = logging.getLogger(__name__)

DTYPES = (torch.bfloat16, torch.float16, torch.float32)  # that they were written for


@cache
def kernels_for(device: torch.device) -> ModuleType | None:
    """The module with the kernels; None on anything but a GPU that runs them right."""
    if device.type != "cuda" or find_spec("triton") is None or torch.cuda.get_device_capability(device) < (8, 0):
        return None
    try:
        from urial.engines.local.on_gpu import triton_kernels  # it cannot be imported without Triton

        if all(attends_alike(triton_kernels, device, dtype) for dtype in DTYPES):
            return triton_kernels
        reason = "they attend otherwise than torch"
    except Exception as error:  # of a compiler, a driver, a version
        reason = one_line(error)
    log.warning("our own kernels do not run on this GPU, so torch's do, and more slowly: %s", reason)
    return None


@torch.inference_mode()
def attends_alike(kernels: ModuleType, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether two slots, at their first and at a later position, attend as torch does."""
    made = torch.Generator(device).manual_seed(0)
    shapes = ((2, 4, 1, 64), (2, 2, 192, 64), (2, 2, 192, 64))
    query, keys, values = (torch.randn(shape, generator=made, device=device).to(dtype) for shape in shapes)
    positions = torch.tensor([[0], [130]], device=device)
    kernels.write(keys[:, :, 7:8], values[:, :, 7:8], (keys, values), positions)
    found = kernels.attend(keys, values, positions, None, query, None)
    mask = torch.arange(192, device=device) <= positions[:, :, None, None]
    wanted = functional.scaled_dot_product_attention(query, keys, values, mask, enable_gqa=True).transpose(1, 2)
    return torch.allclose(found, wanted, rtol=1e-3, atol=16 * torch.finfo(dtype).eps)
