"""A sequence is a context and then an answer, as one model reads them; an answer is written by some sequences and
followed by others.

A sequence that writes chooses the next token from its logits. One that follows reads the same tokens behind another
context: its logits say how probable they were there. Reading a prompt, decoding and scoring are the same thing to a
runner: tokens that are known and not read yet. All of it happens in the scheduler's thread, but for what is marked.
Shapes: row p [1, V] are the float32 logits that predict token p of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from collections.abc import Sequence as Items
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Chunk, Prefix, Runner, SequenceCache
from urial.engines.local.stream import BUFFERED, Stream
from urial.errors import UrialError

HELD_ROWS = 32  # rows that a sequence may be ahead of the slowest one that reads the same answer

Choose = Callable[[list[torch.Tensor]], int]  # from the rows [1, V] of those that write
Check = Callable[[list[int]], None]
Compare = Callable[[list[list[torch.Tensor]], list[int]], Any]  # from n rows of each scored sequence, and n tokens


@dataclass(frozen=True, slots=True)
class SharedModel:
    """One set of weights: its runner, which may still be compiling, and the prefixes that it has read."""

    runner: Future[Runner[Any]]
    prefixes: PrefixCache


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
        return len(self.context) + self.answer.worth_reading - self._read

    @property
    def is_due(self) -> bool:
        """Whether the next step should take this sequence along."""
        if self.cache is None or self.unread <= 0 or len(self._rows) >= HELD_ROWS:
            return False
        return self.answer.has_room_for(self) and (self._has_enough or self.answer.is_waited_for_by(self))

    @property
    def _has_enough(self) -> bool:
        return self.is_reading_context or self.unread >= self.runner.worth_reading

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
        stop = min(stop, max(self._read, before_rows) + HELD_ROWS - len(self._rows))
        if self._to_keep and not self.runner.can_rewind:
            stop = min(stop, self._to_keep[0])
        rows = max(0, stop - max(self._read, before_rows))
        return Chunk(self.cache, self._tokens(self._read, stop), rows, self.adapter)

    def _tokens(self, start: int, stop: int) -> list[int]:
        behind = len(self.context)
        return [*self.context[start:stop], *self.answer.tokens[max(0, start - behind) : max(0, stop - behind)]]

    def advance(self, chunk: Chunk[Any], rows: torch.Tensor) -> None:
        """The chunk was read and gave these rows [R, V]."""
        self._read += len(chunk.tokens)
        self._rows.extend(rows.split(1) if len(rows) else ())
        while self._to_keep and self._to_keep[0] <= self._read:
            self._keep_prefix(self._to_keep.pop(0))

    def _keep_prefix(self, length: int) -> None:
        """The last but one token's needs no copy where a cache only grows; other prefixes outlive this sequence."""
        prefix = Prefix(self.cache, length)
        if not (self.runner.can_rewind and length == len(self.context) - 1):
            prefix = Prefix(self.runner.open(length, prefix), length)
        self.model.prefixes.keep(self.adapter, self.context[:length], prefix, lambda: self.answer.is_stopped)

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


class Answer:
    """Tokens that are written or given, the sequences that read them, and the streams that they go out by."""

    def __init__(self, wake: Callable[[], None], *, choose: Choose | None, limit: int, ends: Collection[int]) -> None:
        """`choose` None is an answer that is given: `extend` it. `ends` end a turn; `limit` is the most tokens.

        `wake` makes the scheduler look again.
        """
        self.tokens: list[int] = []
        self.is_whole = False  # no token will be added
        self.pieces: Stream[tuple[int, bool]] = Stream(wake)  # each token, and whether it ends the turn
        self.scores: Stream[Any] | None = None
        self.writers: list[Sequence] = []
        self._followers: list[Sequence] = []
        self._scored: list[Sequence] = []
        self._wake = wake
        self._choose, self._limit, self._ends = choose, limit, ends
        self._compare: Compare | None = None
        self._done = 0  # positions that are scored
        self._stopped_at: int | None = None

    # Before it is submitted

    def write_by(self, *sequences: Sequence) -> Answer:
        self.writers = [*sequences]
        for sequence in sequences:
            sequence.answer = self
        return self

    def follow_by(self, *sequences: Sequence) -> Answer:
        self._followers = [*sequences]
        for sequence in sequences:
            sequence.answer = self
        return self

    def score_by(self, compare: Compare, check: Check = lambda tokens: None, bound: int = BUFFERED) -> Answer:
        """Whenever all sequences have rows for the same positions, what `compare` makes of them goes to `scores`.

        `check` sees tokens before anybody reads them, and raises for one that cannot be scored.
        """
        self._check = check
        self._compare, self._scored = compare, [*self.writers, *self._followers]
        self.scores = Stream(self._wake, bound)
        return self

    @property
    def sequences(self) -> list[Sequence]:
        return [*self.writers, *self._followers]

    # From any thread

    def extend(self, tokens: Items[int]) -> None:
        """More tokens of a given answer."""
        self.tokens.extend(tokens)
        self._wake()

    def stop(self, at: int) -> None:
        """The reader wants no token from position `at` on; what comes before is still scored if someone reads that."""
        self._stopped_at = at if self._stopped_at is None else min(at, self._stopped_at)
        self._wake()

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    # In the scheduler's thread

    @property
    def worth_reading(self) -> int:
        """How many of the tokens are to be read: what follows the last one of a whole answer is of no use."""
        return max(0, len(self.tokens) - 1) if self.is_whole else len(self.tokens)

    def has_room_for(self, sequence: Sequence) -> bool:
        """Whether what reading on gives has a place to go."""
        if sequence in self.writers and (self.pieces.is_full or len(self.tokens) - self._unscored >= HELD_ROWS):
            return False
        return not (self._is_scored and self.scores.is_full)

    def is_waited_for_by(self, sequence: Sequence) -> bool:
        """Whether nothing more comes before this sequence has read on: it writes, or nobody does."""
        return self.is_whole or sequence in self.writers or not self.writers

    @property
    def _unscored(self) -> int:
        """The first position whose rows are still needed by a score."""
        return self._done if self._is_scored else len(self.tokens)

    @property
    def _is_scored(self) -> bool:
        return self.scores is not None and self.scores.is_open

    def needs(self, sequence: Sequence) -> bool:
        """Whether the sequence has anything left to do."""
        if sequence in self.writers and not self.is_whole:
            return True
        if sequence in self.writers or not self._is_scored:
            return False
        return not self.is_whole or sequence.rows_end < len(self.tokens)

    def heed_stop(self) -> None:
        if self._stopped_at is not None and (not self.is_whole or self._stopped_at < len(self.tokens)):
            del self.tokens[self._stopped_at :]
            self._finish_writing()
            self._finish_scoring()

    def advance(self) -> None:
        """Choose the next token where all that write have their row, and score what all have rows for."""
        try:
            self._write()
        except Exception as error:  # whatever a chooser meets is its answer's and nobody else's
            self.fail(self.writers[0], error)
        try:
            self._score()
        except Exception as error:
            self._fail_scoring(error)
        for sequence in self.sequences:
            sequence.drop_rows(min(len(self.tokens), self._unscored))

    def hand_out(self) -> None:
        """Wake the readers, once a step: in its middle they would take the interpreter from it."""
        for stream in (self.pieces, self.scores):
            if stream is not None:
                stream.tell()

    def _write(self) -> None:
        while self._choose is not None and not self.is_whole and self._can_choose():
            position = len(self.tokens)
            token = self._choose([writer.rows(position, position + 1)[0] for writer in self.writers])
            self.tokens.append(token)
            self.pieces.put((token, token in self._ends))
            self._check_scorable([token])
            if token in self._ends or len(self.tokens) == self._limit:
                self._finish_writing()

    def _check_scorable(self, tokens: list[int]) -> None:
        if self._is_scored:
            try:
                self._check(tokens)
            except UrialError as error:
                self._fail_scoring(error)

    def _can_choose(self) -> bool:
        return all(writer.rows_end > len(self.tokens) for writer in self.writers)

    def _score(self) -> None:
        stop = min([len(self.tokens), *(sequence.rows_end for sequence in self._scored)])
        if self._is_scored and stop > self._done:
            rows = [sequence.rows(self._done, stop) for sequence in self._scored]
            self.scores.put(self._compare(rows, self.tokens[self._done : stop]))
            self._done = stop
        self._finish_scoring()

    def _finish_writing(self, error: BaseException | None = None) -> None:
        self.is_whole = True
        self.pieces.end(error)

    def _finish_scoring(self) -> None:
        if self.scores is not None and self.is_whole and self._done >= len(self.tokens):
            self.scores.end()

    def fail(self, sequence: Sequence, error: BaseException) -> None:
        """One of the sequences cannot go on. An answer whose score fails is written on."""
        if sequence in self.writers:
            self._finish_writing(error)
            self._finish_scoring()
        else:
            self._fail_scoring(error)

    def _fail_scoring(self, error: BaseException) -> None:
        if self.scores is not None:
            self.scores.end(error)
            self._scored, self._followers = [], []
