"""How much alignment a token needs: the switch point of the mixture of two models.

The mixture at lambda is softmax((1 - lambda) b + lambda a), b and a the base's and the aligned model's logits. A token
o that is the aligned model's first choice is overtaken by a rival v only where b_v > b_o, and no longer from
lambda = (b_v - b_o) / ((b_v - b_o) + (a_o - a_v)) on. The switch point is the greatest of these, 0 where there is no
such rival. Rivals are few, so they are picked out first and the rest is done in float64; for a processor
`numba_kernels.overtake` does the same.
Shapes: r rows, V entries.
"""

from __future__ import annotations

import torch


def switch_points(aligned: torch.Tensor, base: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Of rows [r, V] of each model, on one device, and their tokens [r, 1]; float64 [r]."""
    ours, theirs = aligned.gather(-1, tokens), base.gather(-1, tokens)
    found = torch.zeros(len(tokens), dtype=torch.float64, device=base.device)
    row, rival = (base > theirs).nonzero(as_tuple=True)
    behind = base[row, rival].double() - theirs[row, 0].double()
    ahead = ours[row, 0].double() - aligned[row, rival].double()
    return found.scatter_reduce_(0, row, behind / (behind + ahead), "amax")
