"""What a stepper needs of a model before its output layer: one more token of several answers at once.

Knows nothing about sampling, text or who waits for an answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from urial.engines.stopping import Check, go_on
from urial.weights.adapters import LowRankLinear


class Place(Protocol):
    """One answer's keys and values, wherever its trunk keeps them."""

    is_adapted: bool


P = TypeVar("P", bound=Place)


class PromptReader(Protocol):
    """Reads the next tokens of one text all at once."""

    def __call__(
        self, ids: Sequence[int], cache: DynamicCache, *, is_adapted: bool, check: Check = go_on
    ) -> torch.Tensor:
        """Hidden states [len(ids), D]; the cache grows. Calls `check` now and then, which may raise Stopped."""


class Trunk(Protocol[P]):
    """Places for answers, and the step that moves some of them on by a token each."""

    keeps_rows_apart: bool  # whether a place's states are the same to the last bit whatever others it moves on with
    reader: PromptReader | None  # reads prompts with the sums of its steps; None leaves them to transformers' layers

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> P:
        """A place for an answer of up to `room` tokens after a prompt of `length` tokens, which stays as it is."""

    def hidden(self, places: Sequence[P], tokens: Sequence[int]) -> torch.Tensor:
        """Hidden states [R, D] after one more token a place; places without the adapter come first."""

    def close(self, place: P) -> None:
        """The place will not be used again."""


def fit(tree: PreTrainedModel, attention: str, low_rank: Callable[[LowRankLinear], nn.Module]) -> None:
    """Give a tree a trunk's own attention and its own kind of low-rank layers, in place; its config is its own too."""
    tree.config = copy.deepcopy(tree.config)
    tree.set_attn_implementation(attention)
    for parent in list(tree.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, low_rank(child))
