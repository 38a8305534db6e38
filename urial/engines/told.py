"""Rows that are here already, because the model told them while it wrote.

Knows rows; nothing about who asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from urial.engines.base import ToldRow


class GivenRows:
    """Logits that are here already: n rows [1, V]."""

    def __init__(self, rows: Sequence[torch.Tensor]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        rows = self._rows[start:stop]
        return rows[0] if len(rows) == 1 else torch.cat(rows)


class ToldRows:
    """Rows that a server told with its own answer."""

    def __init__(self, rows: list[ToldRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def is_ready(self) -> bool:
        return True

    def rows(self) -> list[ToldRow]:
        return self._rows
