"""The definitions, one line each: what the backends work out quickly for many rows, for one position in float64.

With z the logits of a model, P = softmax(z) its distribution, p for the aligned model and q for the base (the paper,
section 2; KL and JS in nats). Slow on purpose: this is to read, and what tests hold the backends against.
Shapes: V entries of the vocabulary that both models share.
"""

from __future__ import annotations

import torch


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """P(v) = exp(z_v) / sum over w of exp(z_w), [V]."""
    return logits.double().softmax(-1)


def rank(logits: torch.Tensor, token: int) -> int:
    """1 + the number of entries whose logit is strictly greater than the token's."""
    return 1 + int((logits > logits[token]).sum())


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    """KL(P || Q) = sum over v of p_v (ln p_v - ln q_v); infinite where q is 0 and p is not."""
    possible = p > 0
    return float((p[possible] * (p[possible].log() - q[possible].log())).sum())


def js(p: torch.Tensor, q: torch.Tensor) -> float:
    """Half KL(P || M) + half KL(Q || M), with M the mean of both: 0 for equal distributions, at most ln 2."""
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2
