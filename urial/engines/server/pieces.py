"""From the events of a stream to pieces: one for each token id, with the text that this token completes.

The text is decoded here from the ids. Where a server tells no ids, or not all, its own text is passed on, under
UNKNOWN_ID.
Knows nothing about connections.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from urial.engines.base import UNKNOWN_ID, Piece, TopRow
from urial.engines.server.wire import Delta, Malformed, Telling, read_delta
from urial.engines.text import TextStream

USUAL_ENDS = ("stop", "length")


class PieceReader:
    """Reads one answer; `has_ended` once its last token was seen."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int], telling: Telling, most: int) -> None:
        """`ends` end a turn; `most` is the number of tokens at which the answer is cut."""
        self._tokenizer = tokenizer
        self._text = TextStream(tokenizer)
        self._ends = ends
        self._telling = telling
        self._left = most
        self._is_first = True
        self._read = {"token_ids": self._of_ids, "logprobs": self._of_checked_ids, "none": self._of_text}[telling.ids]
        self.has_ended = False

    def pieces(self, choice: Mapping[str, Any]) -> list[Piece]:
        """The pieces of one event. Raises Malformed where it lacks what the server's probe promised."""
        delta = read_delta(choice, self._telling)
        self._check(delta)
        found = self._read(delta)
        self.has_ended = self.has_ended or delta.finish is not None
        if delta.finish == "stop" and not any(piece.is_end for piece in found):
            found.append(Piece(UNKNOWN_ID, self._text.finish(), True))
        return found

    def _check(self, delta: Delta) -> None:
        if delta.finish is not None and delta.finish not in USUAL_ENDS:
            raise Malformed(f"finish_reason ({delta.finish[:20]})")
        if delta.text and not delta.ids and self._telling.ids == "token_ids" and delta.finish is None:
            raise Malformed("token_ids")

    def _of_text(self, delta: Delta) -> list[Piece]:
        return [Piece(UNKNOWN_ID, delta.text, False)] if delta.text else []

    def _of_checked_ids(self, delta: Delta) -> list[Piece]:
        """llama.cpp's server leaves out the ids of tokens that end within a character.

        From such a place on only its text is passed on: ids with a gap would be another answer.
        """
        is_first, self._is_first = self._is_first, False
        found = self._of_ids(delta)
        made = "".join(piece.text for piece in found)
        if made == delta.text or (is_first and made == delta.text.lstrip()):  # decoders drop a first space
            return found
        self._read, self._text, self.has_ended = self._of_text, TextStream(self._tokenizer), False
        return self._of_text(delta)

    def _of_ids(self, delta: Delta) -> list[Piece]:
        found: list[Piece] = []
        for index, (token_id, row) in enumerate(zip(delta.ids, delta.rows, strict=True)):
            self._left -= 1
            stops_here = delta.finish == "stop" and index == len(delta.ids) - 1
            found.append(self._piece(token_id, row, is_end=token_id in self._ends or stops_here))
            if found[-1].is_end or self._left == 0:
                self.has_ended = True
                break
        return found

    def _piece(self, token_id: int, row: TopRow | None, is_end: bool) -> Piece:
        text = "" if is_end else self._text.feed(token_id)
        if is_end or self._left == 0:
            text += self._text.finish()
        return Piece(token_id, text, is_end, row)
