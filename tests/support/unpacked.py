"""Packed weights as the numbers that they stand for: what a packing is held against."""

from __future__ import annotations

import numpy as np
import torch

from urial.kernels import by_address
from urial.kernels.matrices import Floats, Matrix
from urial.kernels.packing import BLOCKS, STORED


def is_packed(matrix: Matrix) -> bool:
    """Whether it is held as steps of eight or four bits."""
    return matrix.kind in (*BLOCKS.values(), by_address.FROM_LEAST, by_address.NIBBLES)


def dense(matrix: Matrix) -> Floats:
    """Back to float32 [out, in], without bias and low-rank part."""
    if not is_packed(matrix):
        stored = next(dtype for dtype, kind in STORED.items() if kind == matrix.kind)
        return torch.from_numpy(matrix.codes).view(stored).float().numpy()
    blocks = matrix.scales.shape[1]
    codes = matrix.codes.view(np.int8)
    if matrix.kind == by_address.NIBBLES:
        halves = matrix.codes.reshape(len(codes), blocks, -1)
        codes = np.concatenate([halves & 15, halves >> 4], axis=2).reshape(len(codes), -1)
    size = codes.shape[1] // blocks
    found = codes * np.repeat(matrix.scales, size, axis=1)
    return found + np.repeat(matrix.offsets, size, axis=1) if len(matrix.offsets) else found
