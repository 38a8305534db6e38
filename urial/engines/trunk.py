"""What a stepper needs of a model before its output layer: one more token of several answers at once.

Knows nothing about sampling, text or who waits for an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from transformers import DynamicCache


class Place(Protocol):
    """One answer's keys and values, wherever its trunk keeps them."""

    is_adapted: bool


P = TypeVar("P", bound=Place)


class Trunk(Protocol[P]):
    """Places for answers, and the step that moves some of them on by a token each."""

    def open(self, prompt: DynamicCache, length: int, room: int, *, is_adapted: bool) -> P:
        """A place for an answer of up to `room` tokens after a prompt of `length` tokens, which stays as it is."""

    def hidden(self, places: Sequence[P], tokens: Sequence[int]) -> torch.Tensor:
        """Hidden states [R, D] after one more token a place; places without the adapter come first."""

    def close(self, place: P) -> None:
        """The place will not be used again."""
