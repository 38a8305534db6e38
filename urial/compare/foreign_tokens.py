"""Tokens of an answer that the base's vocabulary does not hold, typically a mark that the chat model was given.

Such a token has no base rank, and the base cannot read it: its row is not scored, and the base's rows behind it follow
the answer without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch

from urial.engines.base import LogitRows, NoRow, ToldRow, TopRow
from urial.records import UnscoredReason
from urial.shift.statistics import ShiftStatistics

REASON: UnscoredReason = "not_in_base_vocabulary"


class SomeRows:
    """Some of another source's rows, by their indices in growing order."""

    def __init__(self, source: LogitRows, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop of these as float32 [stop - start, V]."""
        wanted = self._indices[start:stop]
        span = self._source.chunk(wanted[0], wanted[-1] + 1)
        return span[[index - wanted[0] for index in wanted]]


def with_foreign_columns(
    known: ShiftStatistics, indices: Sequence[int], foreign: Mapping[int, ToldRow], top: int
) -> ShiftStatistics:
    """Columns of T positions: `known` at `indices`, and rows without a base where `foreign` says what the aligned model
    told of them; `top` entries a list."""
    result, places = ShiftStatistics(), {position: place for place, position in enumerate(indices)}
    for position in range(len(indices) + len(foreign)):
        row = foreign.get(position)
        if isinstance(row, TopRow):
            result.leave_out(REASON, row.rank, row.probability, row.top[:top])
        elif row is not None:
            result.leave_out(REASON)
        else:
            _take(result, known, places[position])
    return result


def with_foreign_rows(known: Sequence[ToldRow], indices: Sequence[int], count: int) -> list[ToldRow]:
    """The base's rows of T = `count` positions: `known` at `indices`, none elsewhere."""
    rows: list[ToldRow] = [NoRow(REASON)] * count
    for index, row in zip(indices, known, strict=True):
        rows[index] = row
    return rows


def _take(result: ShiftStatistics, source: ShiftStatistics, index: int) -> None:
    """One position more, as it is in `source`."""
    if index in source.unscored:
        result.unscored[len(result.base_rank)] = source.unscored[index]
    for column in fields(ShiftStatistics):
        if column.name != "unscored":
            getattr(result, column.name).append(getattr(source, column.name)[index])
