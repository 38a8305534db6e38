"""An answer that is written by some sequences and followed by others.

A sequence that writes chooses the next token from its logits. One that follows reads the same tokens behind another
context: its logits say how probable they were there. What all of them say of the same token is compared as soon as all
have said it. An answer may also be given; then everybody follows.
Shapes: row p [1, V] are the float32 logits that predict token p.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from collections.abc import Sequence as Items
from itertools import takewhile
from typing import Any

import torch

from urial.engines.local.bounded_stream import BUFFERED, Stream
from urial.engines.local.sequence import Sequence

Choose = Callable[[list[torch.Tensor]], int]  # from the rows [1, V] of those that write
Compare = Callable[[list[list[torch.Tensor]], list[int]], Any]  # from n rows of each sequence, and n tokens


class Answer:
    """The tokens, the sequences that read them, and the streams that they go out by."""

    def __init__(
        self, wake: Callable[[], None], choose: Choose | None = None, limit: int = 0, ends: Container[int] = ()
    ) -> None:
        """`choose` None is an answer that is given: `extend` it. `ends` end a turn; `limit` is the most tokens.

        `wake` makes the scheduler look again.
        """
        self.tokens: list[int] = []
        self.is_whole = False  # no token will be added
        self.pieces: Stream[tuple[int, bool]] = Stream(wake)  # each token, and whether it ends the turn
        self.scores: Stream[Any] = Stream(wake)
        self.readers: list[Sequence] = []  # of every token; where the answer is written, by them
        self.followers: list[Sequence] = []
        self._shared: list[int] = []  # the tokens that followers know
        self._vocabulary: int | None = None
        self._wake, self._choose, self._limit, self._ends = wake, choose, limit, ends
        self._compare: Compare | None = None
        self._done = self._shared_done = 0  # positions that are compared, and how many of them followers know
        self._stopped_at: int | None = None

    # Before it is submitted

    def read_by(self, *sequences: Sequence) -> Answer:
        """Sequences that read every token, and that write the answer unless it is given."""
        self.readers += sequences
        for sequence in sequences:
            sequence.answer = self
        return self

    def follow_by(self, *sequences: Sequence, vocabulary: int | None = None) -> Answer:
        """Sequences of a model that knows no token from `vocabulary` on: such a token is not given to them."""
        self.followers += sequences
        self._vocabulary = vocabulary
        for sequence in sequences:
            sequence.answer = self
        return self

    def score_by(self, compare: Compare, bound: int = BUFFERED) -> Answer:
        """What `compare` makes of the rows of all, for the same positions, goes to `scores`.

        It gets those of the readers, then those of the followers; these are empty for a token that they do not know.
        """
        self._compare = compare
        self.scores = Stream(self._wake, bound)
        return self

    @property
    def sequences(self) -> list[Sequence]:
        return [*self.readers, *self.followers]

    # From any thread

    @property
    def is_stopped(self) -> bool:
        return self._stopped_at is not None

    def extend(self, tokens: Items[int]) -> None:
        """More tokens of a given answer."""
        self._add(tokens)
        self._wake()

    def stop(self, at: int) -> None:
        """The reader wants no token from position `at` on; what comes before is still scored if someone reads that."""
        self._stopped_at = at if self._stopped_at is None else min(at, self._stopped_at)
        self._wake()

    # In the scheduler's thread: what a sequence asks

    def tokens_for(self, sequence: Sequence) -> list[int]:
        return self._shared if sequence in self.followers else self.tokens

    def worth_reading(self, sequence: Sequence) -> int:
        """How many of the tokens are to be read: what follows the last one of a whole answer is of no use."""
        count = len(self.tokens_for(sequence))
        return max(0, count - 1) if self.is_whole else count

    def has_room_for(self, sequence: Sequence) -> bool:
        """Whether what reading on gives has a place to go."""
        ahead = len(self.tokens) - self._needed_from
        if self._writes(sequence) and (self.pieces.is_full or ahead >= sequence.runner.limits.held_rows):
            return False
        return not (self._is_scored and self.scores.is_full)

    def is_waited_for_by(self, sequence: Sequence) -> bool:
        """Whether nothing more comes before this sequence has read on: it writes, or nobody does."""
        return self.is_whole or self._choose is None or sequence in self.readers

    def needs(self, sequence: Sequence) -> bool:
        """Whether the sequence has anything left to do."""
        if self._writes(sequence):
            return not self.is_whole
        return self._is_scored and not (self.is_whole and sequence.rows_end >= len(self.tokens_for(sequence)))

    def _writes(self, sequence: Sequence) -> bool:
        return self._choose is not None and sequence in self.readers

    @property
    def _is_scored(self) -> bool:
        return self._compare is not None and self.scores.is_open

    @property
    def _needed_from(self) -> int:
        """The first position whose rows are still to be compared."""
        return self._done if self._is_scored else len(self.tokens)

    # In the scheduler's thread: how it goes on

    def advance(self) -> None:
        """Choose the next token where all that write have their row, and compare what all have rows for."""
        try:
            self._write()
        except Exception as error:  # whatever a chooser meets is its answer's and nobody else's
            self._finish_writing(error)
        self._score_or_fail()
        known = self._shared_done if self._is_scored else len(self._shared)
        for sequence in self.sequences:
            sequence.drop_rows(known if sequence in self.followers else self._needed_from)

    def hand_out(self) -> None:
        """Wake who waits, once a step: in its middle they would take the interpreter from it."""
        self.pieces.tell()
        self.scores.tell()

    def heed_stop(self) -> None:
        if self._stopped_at is not None and (not self.is_whole or self._stopped_at < len(self.tokens)):
            del self.tokens[self._stopped_at :]
            self._shared = [token for token in self.tokens if self._is_known(token)]
            self._finish_writing()
            self._score_or_fail()  # what was too few to be compared

    def fail(self, sequence: Sequence, error: BaseException) -> None:
        """One of the sequences cannot go on. An answer whose score fails is written on."""
        if self._writes(sequence):
            self._finish_writing(error)
            self._score_or_fail()
        else:
            self.scores.end(error)

    def _write(self) -> None:
        while self._choose is not None and not self.is_whole and self._all_have_a_row():
            position = len(self.tokens)
            token = self._choose([reader.rows(position, position + 1)[0] for reader in self.readers])
            self._add([token])
            self.pieces.put((token, token in self._ends))
            if token in self._ends or len(self.tokens) == self._limit:
                self._finish_writing()

    def _all_have_a_row(self) -> bool:
        return all(reader.rows_end > len(self.tokens) for reader in self.readers)

    def _add(self, tokens: Items[int]) -> None:
        self._shared.extend(token for token in tokens if self._is_known(token))
        self.tokens.extend(tokens)

    def _is_known(self, token: int) -> bool:
        return self._vocabulary is None or token < self._vocabulary

    def _score_or_fail(self) -> None:
        try:
            self._score()
        except Exception as error:
            self.scores.end(error)

    def _score(self) -> None:
        """Stretches of tokens that followers know, and one by one those that they do not."""
        compare = self._compare
        while compare is not None and self._is_scored and (count := self._comparable()) and self._is_worth(count):
            start, stop = self._done, self._done + count
            shared = count if self._is_known(self.tokens[start]) else 0
            rows = [reader.rows(start, stop) for reader in self.readers]
            rows += [each.rows(self._shared_done, self._shared_done + shared) for each in self.followers]
            self.scores.put(compare(rows, self.tokens[start:stop]))
            self._done, self._shared_done = stop, self._shared_done + shared
        self._finish_scoring()

    def _is_worth(self, count: int) -> bool:
        """Whether to compare so few, or to wait for what will come: a written answer's next tokens, or its end.

        A token that followers do not know ends a stretch: more will not be compared with it.
        """
        is_growing = self._choose is not None and not self.is_whole
        ends = self.tokens[self._done], *self.tokens[self._done + count : self._done + count + 1]
        is_cut = not all(self._is_known(token) for token in ends)
        return not is_growing or is_cut or count >= self.readers[0].runner.limits.compared_rows

    def _comparable(self) -> int:
        """How many of the next positions have all rows that they need."""
        stop = min([len(self.tokens), *(reader.rows_end for reader in self.readers)])
        new = self.tokens[self._done : stop]
        if new and not self._is_known(new[0]):
            return 1
        shared = len(list(takewhile(self._is_known, new)))
        return max(0, min([shared, *(each.rows_end - self._shared_done for each in self.followers)]))

    def _finish_writing(self, error: BaseException | None = None) -> None:
        self.is_whole = True
        self.pieces.end(error)

    def _finish_scoring(self) -> None:
        if self.is_whole and self._done >= len(self.tokens):
            self.scores.end()
