"""An output layer over packed weights: every logit, exact, for a quarter of the bytes.

Knows nothing about trunks or sampling.
"""

from __future__ import annotations

import numpy as np
import torch

from urial.compiled.cores import all_cores
from urial.engines.compiled import kernels
from urial.engines.compiled.blocks import is_packed, pack
from urial.engines.compiled.kernels import Matrix
from urial.engines.head import Postprocess


class PackedHead:
    """Hidden states [R, D] to float32 logits [R, V]."""

    def __init__(self, matrix: Matrix, after: Postprocess) -> None:
        """`after` is what the family does to the layer's output."""
        self._matrix = matrix
        self._after = after

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        found = np.empty((len(hidden), len(self._matrix.codes)), np.float32)
        with all_cores("compiled output layer"):
            kernels.multiply(self._matrix, hidden.numpy(), len(hidden), found)
        return self._after(torch.from_numpy(found))


def packed_head(weight: torch.Tensor, after: Postprocess) -> PackedHead | None:
    """A head over float32 weights [V, D] if they pack, ready to run; None if they do not."""
    matrix = pack(weight.detach().numpy())
    if not is_packed(matrix):
        return None
    head = PackedHead(matrix, after)
    head(torch.zeros(1, weight.shape[1]))  # compiles it
    return head
