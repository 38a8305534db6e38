"""What the scheduler's work looks like to who asked for it: pieces of an answer, or rows of a scored one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from urial.engines.base import Piece
from urial.engines.local.answer import Answer, Compare
from urial.engines.local.bounded_stream import Stream
from urial.engines.local.scheduler import scheduler
from urial.engines.local.sequence import Sequence as Reader
from urial.tokenizer.text import TextStream

CHUNK = 1  # answer tokens for one `extend`: the scheduler waits for more where that is cheaper


class LocalPieces(Iterator[Piece]):
    """Pieces of an answer that the scheduler writes. Closing it, or letting go of it, ends the writing."""

    position = 0  # there is no line

    def __init__(self, answer: Answer, tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
        self._answer = answer
        self._text = TextStream(tokenizer)
        self._limit = limit
        self._count = 0

    @property
    def scores(self) -> Stream[Any]:
        """What `compare` made of the rows, for one or more positions each time, in order."""
        return self._answer.scores

    def is_ready(self) -> bool:
        return self._answer.pieces.is_ready()

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever there may be something to read, of the pieces or of the scores."""
        self._answer.pieces.listen(listener)
        self._answer.scores.listen(listener)

    def __next__(self) -> Piece:
        token_id, is_end = next(self._answer.pieces)
        self._count += 1
        text = self._text.feed_answer(token_id, is_end=is_end, is_last=self._count == self._limit)
        return Piece(token_id, text, is_end)

    def close(self) -> None:
        """What was read so far is the answer; it is still scored if somebody reads that."""
        self._answer.stop(self._count)
        self._answer.pieces.close()

    def __del__(self) -> None:
        self.close()


def score_given(
    answer_ids: Sequence[int], reader: Reader, followers: Sequence[Reader], compare: Compare, vocabulary: int
) -> Stream[Any]:
    """A given answer, read by all: what `compare` makes of their rows, some positions at a time, in order.

    Followers are not given tokens from `vocabulary` on.
    """
    answer = Answer(scheduler().wake).read_by(reader).follow_by(*followers, vocabulary=vocabulary).score_by(compare)
    answer.extend(answer_ids)
    answer.is_whole = True
    scheduler().submit(answer)
    return answer.scores


class LocalScoreSession:
    """Teacher forcing over a growing answer: one sequence that reads what it is given."""

    chunk = CHUNK

    def __init__(self, reader: Reader) -> None:
        self._answer = Answer(scheduler().wake).read_by(reader).score_by(lambda rows, ids: rows[0], bound=1)
        self._rows: deque[torch.Tensor] = deque()
        self._first = 0
        scheduler().submit(self._answer)

    def extend(self, answer_ids: Sequence[int]) -> StreamedRows:
        """Rows that predict `answer_ids`."""
        start = len(self._answer.tokens)
        self._answer.extend(answer_ids)
        return StreamedRows(self, start, len(answer_ids))

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Rows of the whole answer's positions start..stop [stop - start, V]; what comes before them is let go.

        Raises ValueError for rows that were let go.
        """
        if start < self._first:
            raise ValueError(f"rows from position {start} on were asked for after those from {self._first} on")
        for _ in range(min(start - self._first, len(self._rows))):
            self._rows.popleft()
            self._first += 1
        while self._first + len(self._rows) < stop:
            self._rows.extend(next(self._answer.scores))
        return torch.cat([self._rows[position - self._first] for position in range(start, stop)])

    def close(self) -> None:
        self._answer.stop(0)
        self._answer.scores.close()


class StreamedRows:
    """Logits of n positions that are read in order, a few at a time; a span may be read again until the next one."""

    def __init__(self, session: LocalScoreSession, start: int, count: int) -> None:
        self._session, self._start, self._count = session, start, count

    def __len__(self) -> int:
        return self._count

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]; waits for them."""
        return self._session.rows(self._start + start, self._start + stop)
