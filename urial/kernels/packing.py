"""Weights in the fewest bytes that hold them exactly.

A checkpoint in bfloat16 or float16 stays as it is. A packed one (GGUF's Q8_0, Q6_K, Q5_0, Q4_K) unpacks to float32
without gaining information: it was whole steps of a block's scale, which can be found again and take a quarter of the
bytes to read at each decoding step, or an eighth where there are sixteen of them. Nothing is rounded: a matrix whose
steps do not give back every weight to the last bit stays in float32. Knows numbers; nothing about files or models.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from urial.kernels import by_address
from urial.kernels.cores import all_cores
from urial.kernels.matrices import LOW_TILE, TILE, Floats, Matrix
from urial.kernels.memory import aligned
from urial.kernels.scales import find_scales, find_scales_from_least

BLOCKS = {
    32: by_address.IN_32,
    16: by_address.IN_16,
}  # sizes that have a compiled product, larger first: fewer scales
OFFSET_BLOCK = 32
NIBBLE = 16  # codes that four bits tell apart
PROBED = 16  # rows that tell whether a matrix is of the kind that is tried
STORED = {
    torch.float32: by_address.FLOAT32,
    torch.bfloat16: by_address.BFLOAT16,
    torch.float16: by_address.FLOAT16,
}


def pack(weight: torch.Tensor) -> Matrix:
    """The matrix [out, in], of a type in `STORED`, in the fewest bytes that hold it exactly; no bias, no low-rank part.

    What is no steps lies over the same memory as `weight` where that is contiguous.
    """
    found = in_steps(weight.numpy()) if weight.dtype == torch.float32 else None
    return as_stored(weight) if found is None else found


def in_steps(weight: Floats) -> Matrix | None:
    """As eight-bit steps, if they give back every weight."""
    for block in BLOCKS:
        if (found := _in_steps(weight, block)) is not None:
            return found
    return _in_steps_from_least(weight, OFFSET_BLOCK)


def as_stored(weight: torch.Tensor) -> Matrix:
    """The numbers as they are."""
    return _matrix(STORED[weight.dtype], weight.contiguous().view(torch.uint8).numpy(), inputs=weight.shape[1])


def with_low_rank(matrix: Matrix, downs: list[Floats], ups: list[Floats]) -> Matrix:
    """With A [r, in] and B [out, r] of each of the layers that it is made of, one below the other; r may be 0."""
    rank = max(len(down) for down in downs)
    rank += -rank % LOW_TILE
    outputs = [len(up) for up in ups]
    up = np.concatenate([_padded(up.T, rank, len(up)) for up in ups], axis=1)
    tiles = _padded(up, rank, up.shape[1] + -up.shape[1] % TILE).reshape(rank, -1, TILE)
    return matrix._replace(
        down=aligned(np.concatenate([_padded(down, rank, down.shape[1]) for down in downs])),
        up=aligned(tiles.swapaxes(0, 1)),
        bounds=np.cumsum([0, *outputs]),
    )


def _padded(array: Floats, rows: int, columns: int) -> Floats:
    """With zeros up to these numbers."""
    return np.pad(array, ((0, rows - array.shape[0]), (0, columns - array.shape[1])))


def _matrix(
    kind: int, codes: np.ndarray, inputs: int, scales: Floats | None = None, offsets: Floats | None = None
) -> Matrix:
    none = np.zeros((0, 0), np.float32)
    return Matrix(
        kind,
        codes.view(np.uint8),
        none if scales is None else scales,
        none if offsets is None else offsets,
        bias=np.zeros(0, np.float32),
        down=np.zeros((0, inputs), np.float32),
        up=np.zeros((0, 0, TILE), np.float32),
        bounds=np.array([0, len(codes)]),
    )


def _in_steps(weight: Floats, block: int) -> Matrix | None:
    def fill(part: Floats) -> Matrix | None:
        codes, scales, failed = _empty(part, block)
        with all_cores("packing"):
            find_scales(part, block, codes, scales, failed)
        return None if failed.any() else _matrix(BLOCKS[block], codes, part.shape[1], scales)

    return _if_all(weight, block, fill)


def _in_steps_from_least(weight: Floats, block: int) -> Matrix | None:
    def fill(part: Floats) -> Matrix | None:
        codes, scales, failed = _empty(part, block)
        offsets = np.empty_like(scales)
        with all_cores("packing"):
            find_scales_from_least(part, block, codes, scales, offsets, failed)
        if failed.any():
            return None
        fits = codes.min(initial=0) >= 0 and codes.max(initial=0) < NIBBLE
        kind, held = (by_address.NIBBLES, in_nibbles(codes)) if fits else (by_address.FROM_LEAST, codes)
        return _matrix(kind, held, part.shape[1], scales, offsets)

    return _if_all(weight, block, fill)


def in_nibbles(codes: np.ndarray) -> np.ndarray:
    """Codes [out, in] from 0 to 15 as bytes [out, in / 2]: those of a block's halves side by side."""
    halves = codes.view(np.uint8).reshape(len(codes), -1, 2, OFFSET_BLOCK // 2)
    found: np.ndarray = halves[:, :, 0] | (halves[:, :, 1] << 4)
    return found.reshape(len(codes), -1)


def _empty(weight: Floats, block: int) -> tuple[np.ndarray, Floats, np.ndarray]:
    outputs, inputs = weight.shape
    return (
        np.empty((outputs, inputs), np.int8),
        np.empty((outputs, inputs // block), np.float32),
        np.zeros(outputs, np.uint8),
    )


def _if_all(weight: Floats, block: int, fill: Callable[[Floats], Matrix | None]) -> Matrix | None:
    """`fill` for the whole matrix if it works for its first rows."""
    if weight.shape[1] % block or fill(weight[:PROBED]) is None:
        return None
    return fill(weight)
