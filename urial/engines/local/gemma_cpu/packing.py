"""Weights that were once quantised in blocks, as what they are: whole steps of a block's scale.

A packed checkpoint (GGUF's Q8_0, Q6_K, Q5_0, Q4_K) unpacks to float32 without gaining information; the steps can be
found again, and take a quarter of the bytes to read at each decoding step. Nothing is rounded: a matrix whose steps do
not give back every weight to the last bit stays as it is. Knows numbers; nothing about files or models.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from urial.engines.local.gemma_cpu.kernels import Floats, PackedMatrix
from urial.engines.local.gemma_cpu.scales import find_scales, find_scales_from_least
from urial.engines.local.gemma_cpu.simd import LANES
from urial.numba_tools.cores import all_cores

BLOCKS = (32, 16)  # sizes that have a compiled product, larger first: fewer scales to read
OFFSET_BLOCK = 32
PROBED = 16  # rows that tell whether a matrix is of the kind that is tried


def pack(weight: Floats) -> PackedMatrix:
    """The matrix [out, in] in the fewest bytes that hold it exactly, without a low-rank part."""
    for block in BLOCKS:
        if (found := _in_steps(weight, block)) is not None:
            return found
    if (found := _in_steps_from_least(weight, OFFSET_BLOCK)) is not None:
        return found
    return whole(weight)


def whole(weight: Floats) -> PackedMatrix:
    """The matrix in float32: one block a row, in steps of one."""
    return _matrix(weight, np.ones((len(weight), 1), np.float32))


def _matrix(codes: np.ndarray, scales: Floats, offsets: Floats | None = None) -> PackedMatrix:
    outputs, inputs = codes.shape
    return PackedMatrix(
        codes,
        scales,
        np.zeros((0, 0), np.float32) if offsets is None else _padded(offsets),
        down=np.zeros((0, inputs), np.float32),
        up=np.zeros((0, outputs), np.float32),
        bounds=np.array([0, outputs]),
    )


def _padded(offsets: Floats) -> Floats:
    """With zeros up to whole vectors."""
    missing = -offsets.shape[1] % LANES
    return np.pad(offsets, ((0, 0), (0, missing)))


def _in_steps(weight: Floats, block: int) -> PackedMatrix | None:
    def fill(part: Floats) -> PackedMatrix | None:
        codes, scales, failed = _empty(part, block)
        with all_cores("packing"):
            find_scales(part, block, codes, scales, failed)
        return None if failed.any() else _matrix(codes, scales)

    return _if_all(weight, block, fill)


def _in_steps_from_least(weight: Floats, block: int) -> PackedMatrix | None:
    def fill(part: Floats) -> PackedMatrix | None:
        codes, scales, failed = _empty(part, block)
        offsets = np.empty_like(scales)
        with all_cores("packing"):
            find_scales_from_least(part, block, codes, scales, offsets, failed)
        return None if failed.any() else _matrix(codes, scales, offsets)

    return _if_all(weight, block, fill)


def _empty(weight: Floats, block: int) -> tuple[np.ndarray, Floats, np.ndarray]:
    outputs, inputs = weight.shape
    return (
        np.empty((outputs, inputs), np.int8),
        np.empty((outputs, inputs // block), np.float32),
        np.zeros(outputs, np.uint8),
    )


def _if_all(weight: Floats, block: int, fill: Callable[[Floats], PackedMatrix | None]) -> PackedMatrix | None:
    """`fill` for the whole matrix if it works for its first rows."""
    if weight.shape[1] % block or fill(weight[:PROBED]) is None:
        return None
    return fill(weight)


def is_packed(matrix: PackedMatrix) -> bool:
    """Whether it takes fewer bytes than in float32."""
    return matrix.codes.dtype == np.int8


def dense(matrix: PackedMatrix) -> Floats:
    """Back to float32 [out, in], without the low-rank part."""
    blocks = matrix.scales.shape[1]
    size = matrix.codes.shape[1] // blocks
    found = matrix.codes * np.repeat(matrix.scales, size, axis=1)
    return found + np.repeat(matrix.offsets[:, :blocks], size, axis=1) if len(matrix.offsets) else found
