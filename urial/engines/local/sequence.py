"""A sequence: a context and then an answer, as one model reads them.

Reading a prompt, decoding and scoring are the same thing to a runner: tokens that are known and not read yet. Where the
tokens of the answer come from is `answer.py`'s. All of it happens in the scheduler's thread.
Shapes: row p [1, V] are the float32 logits that predict token p of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Items
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Chunk, Prefix, Runner, SequenceCache

if TYPE_CHECKING:
    from urial.engines.local.answer import Answer


@dataclass(frozen=True, slots=True)
class SharedModel:
    """One set of weights: its runner, which may still be compiling, and the prefixes that it has read."""

    runner: Future[Runner[Any]]
    prefixes: PrefixCache
    make: Callable[[], Runner[Any]] | None = None  # makes the runner at its first use; None where it is being made

    @property
    def is_preparing(self) -> bool:
        """Whether a runner is still being compiled."""
        return self.make is None and not self.runner.done()

    def prepare(self) -> None:
        """Make the runner unless it is there. In the scheduler's thread, where the models run."""
        if self.make is not None and not self.runner.done():
            try:
                self.runner.set_result(self.make())
            except Exception as error:  # every answer of this model meets it
                self.runner.set_exception(error)


class Sequence:
    """One context and the answer behind it, on their way through one model."""

    def __init__(self, model: SharedModel, context: Items[int], room: int, adapter: float) -> None:
        """`room` is the most tokens that the answer may have; `adapter` the factor of the low-rank part."""
        self.model = model
        self.context = tuple(context)
        self.adapter = adapter
        self.answer: Answer
        self.cache: SequenceCache | None = None
        self._capacity = len(self.context) + room
        self._read = 0
        self._to_keep: list[int] = []
        self._rows: deque[torch.Tensor] = deque()
        self._first_row = 0

    @property
    def runner(self) -> Runner[Any]:
        """Ready once the sequence is open."""
        return self.model.runner.result()

    @property
    def is_reading_context(self) -> bool:
        return self._read < len(self.context)

    @property
    def unread(self) -> int:
        """Tokens that are known and whose logits are of use, and that the model has not read."""
        return len(self.context) + self.answer.worth_reading(self) - self._read

    @property
    def is_due(self) -> bool:
        """Whether the next step should take this sequence along."""
        if self.cache is None or self.unread <= 0 or len(self._rows) >= self.runner.limits.held_rows:
            return False
        has_enough = self.is_reading_context or self.unread >= self.runner.worth_reading
        return self.answer.has_room_for(self) and (has_enough or self.answer.is_waited_for_by(self))

    def open(self) -> None:
        """Take a cache that begins with the longest prefix that is there. Raises what the runner raises."""
        prefix = self.model.prefixes.longest(self.adapter, self.context)
        self.cache = self.runner.open(self._capacity, prefix)
        self._read = prefix.length if prefix else 0
        lengths = self.model.prefixes.lengths_to_keep(self.context)
        self._to_keep = [length for length in lengths if length > self._read]

    def waits_for(self, other: Sequence) -> bool:
        """Whether `other` is reading a beginning of this context that will be kept: it would be read twice."""
        shares = other.model is self.model and other.adapter == self.adapter and other.cache is not None
        return shares and any(self._begins_with(other.context[:length]) for length in other._to_keep)

    def _begins_with(self, start: tuple[int, ...]) -> bool:
        return len(start) < len(self.context) and self.context[: len(start)] == start

    def next_chunk(self, most: int) -> Chunk[Any]:
        """The next tokens to read, at most so many, at least one."""
        before_rows = len(self.context) - 1  # the row after this token is the first of the answer's
        stop = self._read + min(most, self.unread)
        stop = min(stop, max(self._read, before_rows) + self.runner.limits.held_rows - len(self._rows))
        if self._to_keep and not self._needs_no_copy(self._to_keep[0]):
            stop = min(stop, self._to_keep[0])  # so that who begins there later reads on in the same parts
        rows = max(0, stop - max(self._read, before_rows))
        return Chunk(self.cache, self._tokens(self._read, stop), rows, self.adapter)

    def _tokens(self, start: int, stop: int) -> list[int]:
        behind = len(self.context)
        given = self.answer.tokens_for(self)
        return [*self.context[start:stop], *given[max(0, start - behind) : max(0, stop - behind)]]

    def advance(self, chunk: Chunk[Any], rows: torch.Tensor) -> None:
        """The chunk was read and gave these rows [R, V]."""
        self._read += len(chunk.tokens)
        self._rows.extend(rows.split(1) if len(rows) else ())
        while self._to_keep and self._to_keep[0] <= self._read:
            self._keep_prefix(self._to_keep.pop(0))

    def _keep_prefix(self, length: int) -> None:
        """Prefixes that others asked for outlive this sequence, so they are copied out of its room."""
        assert self.cache is not None  # it has just read these tokens
        prefix = Prefix(self.cache, length)
        if not self._needs_no_copy(length):
            prefix = Prefix(self.runner.open(length, prefix), length)
        self.model.prefixes.keep(self.adapter, self.context[:length], prefix, lambda: self.answer.is_stopped)

    def _needs_no_copy(self, length: int) -> bool:
        """All but the last token, where a cache only grows."""
        return self.runner.can_rewind and length == len(self.context) - 1

    @property
    def rows_end(self) -> int:
        """The first answer position whose row is not there yet."""
        return self._first_row + len(self._rows)

    def rows(self, start: int, stop: int) -> list[torch.Tensor]:
        first = self._first_row
        return [self._rows[position - first] for position in range(start, stop)]

    def drop_rows(self, before: int) -> None:
        """Rows that nobody needs go; what stays is copied, because a view would hold all rows of its step."""
        while self._rows and self._first_row < before:
            self._rows.popleft()
            self._first_row += 1
        self._rows = deque(row.clone() if row.untyped_storage().nbytes() > row.nbytes else row for row in self._rows)

    def close(self) -> None:
        if self.cache is not None:
            self.runner.close(self.cache)
            self.cache = None
