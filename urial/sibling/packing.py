"""Several conversations in one row, without padding: positions begin anew, attention stays within each conversation.

The linear layers see one long row of tokens; only attention is taken conversation by conversation, so what it costs
grows with the square of a conversation's length and not of the row's.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from urial.sibling.masking import Encoded

NAME = "urial_packed"


@dataclass(frozen=True)
class Packed:
    """Conversations one after another: ids and positions (1, N), and the length of each.

    predicts: (N) bool, true where the next position holds a token that is learned; learned: those tokens' ids (M).
    """

    ids: Tensor
    positions: Tensor
    lengths: tuple[int, ...]
    predicts: Tensor
    learned: Tensor


def packed(examples: Sequence[Encoded]) -> Packed:
    """One row of all the examples. A conversation's last token predicts nothing, least of all its neighbour's first."""
    lengths = tuple(len(example.ids) for example in examples)
    ids = torch.tensor([i for example in examples for i in example.ids])
    positions = torch.cat([torch.arange(length) for length in lengths])
    predicts = torch.tensor([x for example in examples for x in (*example.learned[1:], False)])
    learned = torch.tensor([x for example in examples for x in (False, *example.learned[1:])])
    return Packed(ids[None], positions[None], lengths, predicts, ids[learned])


def hidden_states(trunk: nn.Module, row: Packed) -> Tensor:
    """The trunk's last hidden states (1, N, H): each conversation's as if it had been read alone."""
    device = next(trunk.parameters()).device
    with _attending_in_parts(trunk.config):
        out = trunk(
            input_ids=row.ids.to(device),
            position_ids=row.positions.to(device),
            use_cache=False,
            conversation_lengths=row.lengths,
        )
    return out.last_hidden_state


@contextmanager
def _attending_in_parts(config: Any) -> Iterator[None]:
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    sliding_window: int | None = None,
    *,
    conversation_lengths: tuple[int, ...],
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of each conversation to itself; query (1, heads, N, d), key and value (1, groups, N, d)."""
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (t.repeat_interleave(repeats, dim=1) for t in (key, value))
    parts = zip(*(t.split(conversation_lengths, dim=2) for t in (query, key, value)), strict=True)
    out = [_causal(q, k, v, scaling, dropout, softcap, sliding_window) for q, k, v in parts]
    return torch.cat(out, dim=2).transpose(1, 2), None


def _causal(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, dropout: float, softcap: float | None, window: int | None
) -> Tensor:
    """Causal attention of one conversation, within a window where the layer has one and the text is longer."""
    length = q.shape[2]
    if softcap is None and (window is None or length <= window):
        return scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scale)
    seen = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
    if window is not None:
        seen = seen.triu(1 - window)
    if softcap is None:
        return scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout, scale=scale)
    logits = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scale is None else scale)
    logits = (softcap * torch.tanh(logits / softcap)).masked_fill(~seen, float("-inf"))
    weights = logits.softmax(-1, dtype=torch.float32).to(q.dtype)
    return nn.functional.dropout(weights, dropout) @ v


ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
