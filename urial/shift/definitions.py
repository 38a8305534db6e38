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


def mixture(aligned: torch.Tensor, base: torch.Tensor, share: float) -> torch.Tensor:
    """softmax((1 - share) ln q + share ln p), [V], from both models' logits: 0 is the base, 1 the aligned model."""
    p, q = probabilities(aligned), probabilities(base)
    if share in (0, 1):  # 0 times an infinite logarithm is no number
        return p if share else q
    return probabilities((1 - share) * q.log() + share * p.log())


def switch_point(aligned: torch.Tensor, base: torch.Tensor, token: int) -> float | None:
    """The least share in [0, 1] at which the token is the most probable of the mixture; None where it is not at 1.

    Each rival v that the base prefers is overtaken at (z_v - z_o) / ((z_v - z_o) + (y_o - y_v)), z and y the base's
    and the aligned model's logits, o the token.
    """
    if rank(aligned, token) > 1:
        return None
    behind = (base.double() - base[token].double()).clamp(min=0)
    ahead = aligned[token].double() - aligned.double()
    return float((behind / (behind + ahead)).where(behind > 0, torch.zeros_like(behind)).max())
