"""A matrix of weights, and the whole numbers that loops are told of it: sizes and addresses, one type for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LOW_TILE = 8  # outputs of the low-rank part's first half that a core takes at a time
TILE = 64  # the same of the product


class Matrix(NamedTuple):
    """Weights [out, in] of one way to store them, a bias, and a low-rank part."""

    kind: int  # how they are stored: `by_address.IN_32` and so on
    codes: NDArray[np.uint8]  # [out, bytes]: steps of eight or four bits, or numbers as the checkpoint has them
    scales: Floats  # [out, blocks], what a block's steps are multiplied with; [0, 0] where weights are no steps
    offsets: Floats  # [out, blocks], added to them, or [0, 0] where all are zero
    bias: Floats  # [out] or [0]
    down: Floats  # A of each part, [parts * rank, in]; the rank is a multiple of LOW_TILE
    up: Floats  # B, [tiles of outputs, rank, TILE], zeros behind the last output; [0, 0, TILE] for none
    bounds: NDArray[np.int64]  # [parts + 1]: the outputs of each part of `down`


# What is told: the addresses of loops, those of products for the weights and for both halves of the low-rank part,
(SHARING, TASK, LOW_TASK, PRODUCT, DOWN_PRODUCT, UP_PRODUCT) = range(6)
# sizes,
(OUTPUTS, BYTES, BLOCKS, PARTS, RANK) = range(6, 11)
# and the addresses of the arrays; the bias may be 0.
(CODES, SCALES, OFFSETS, BIAS, DOWN, UP, BOUNDS) = range(11, 18)
COLUMNS = 18
