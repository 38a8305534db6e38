"""Packed weights as the numbers that they stand for: what a packing is held against."""

from __future__ import annotations

import numpy as np
import torch

from urial.kernels import decoder
from urial.kernels.decoder import Floats, Matrix
from urial.kernels.packing import BLOCKS, STORED


def is_packed(matrix: Matrix) -> bool:
    """Whether it is held as eight-bit steps."""
    return matrix.kind in (*BLOCKS.values(), decoder.FROM_LEAST)


def dense(matrix: Matrix) -> Floats:
    """Back to float32 [out, in], without bias and low-rank part."""
    if not is_packed(matrix):
        stored = next(dtype for dtype, kind in STORED.items() if kind == matrix.kind)
        return torch.from_numpy(matrix.codes).view(stored).float().numpy()
    blocks = matrix.scales.shape[1]
    size = matrix.codes.shape[1] // blocks
    found = matrix.codes.view(np.int8) * np.repeat(matrix.scales, size, axis=1)
    return found + np.repeat(matrix.offsets, size, axis=1) if len(matrix.offsets) else found
