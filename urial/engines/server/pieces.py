"""From the events of a stream to pieces: one for each token id, with the text that this token completes.

The text is decoded here from the ids. Where a server tells no ids, or not all, its own text is passed on, under
UNKNOWN_ID. Pieces joined give the answer, whatever a server leaves out.
Knows nothing about connections.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from urial.engines.base import UNKNOWN_ID, Piece, ToldRow
from urial.engines.server.protocol import Delta, Telling, read_delta
from urial.tokenizer.text import TextStream

STOPS = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")  # the words of several servers for the same
LENGTHS = ("length", "max_tokens")


class PieceReader:
    """Reads one answer; `has_ended` once its last token was seen, `trouble` where the server broke it off."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        ends: Collection[int],
        special: Collection[int],
        telling: Telling,
        most: int,
    ) -> None:
        """`ends` end a turn, `special` are no words; `most` is the number of tokens at which the answer is cut."""
        self._tokenizer = tokenizer
        self._text = TextStream(tokenizer)
        self._ends = ends
        self._special = special
        self._telling = telling
        self._left = most
        self._is_first = True
        self._held: list[Piece] = []
        self._read = {"token_ids": self._of_ids_beside, "logprobs": self._of_ids_in_logprobs, "none": self._of_text}[
            telling.ids
        ]
        self.has_ended = False
        self.trouble: tuple[str, str] | None = None  # the reason of the end in the server's words, and what it said

    def pieces(self, choice: Mapping[str, Any]) -> list[Piece]:
        """The pieces of one event. Raises Malformed where it is of another shape."""
        delta = read_delta(choice, self._telling)
        found = [*self.held(), *self._read(delta)]
        if self._is_broken(delta):
            self.trouble = (delta.finish or "error", delta.trouble)
        elif delta.finish is not None:
            self._end(found, delta.finish in STOPS)
        elif not self.has_ended and found and found[-1].text == "":
            self._held = [found.pop()]  # a character that is not whole yet, or that the server will break off
        return found

    def held(self) -> list[Piece]:
        """What was held back, and is not any more."""
        held, self._held = self._held, []
        return held

    def _is_broken(self, delta: Delta) -> bool:
        return bool(delta.trouble) or (delta.finish is not None and delta.finish not in (*STOPS, *LENGTHS))

    def _end(self, found: list[Piece], has_stopped: bool) -> None:
        """The end as the server tells it: half a character belongs to the last token; a stop is a piece of its own."""
        self.has_ended = True
        if any(piece.is_end for piece in found):
            return
        rest = self._text.finish()
        if rest and found and found[-1].id != UNKNOWN_ID:
            found[-1] = replace(found[-1], text=found[-1].text + rest)
            rest = ""
        if has_stopped or rest:
            found.append(Piece(UNKNOWN_ID, rest, has_stopped))

    # Three kinds of servers

    def _of_text(self, delta: Delta) -> list[Piece]:
        return [Piece(UNKNOWN_ID, delta.text, False)] if delta.text else []

    def _of_ids_beside(self, delta: Delta) -> list[Piece]:
        """vLLM: an event has text and ids. Text whose ids are left out goes on as text alone, to the end."""
        if delta.text and not delta.ids:
            return self._without_ids(delta)
        return self._of_ids(delta)

    def _of_ids_in_logprobs(self, delta: Delta) -> list[Piece]:
        """llama.cpp's server leaves out the ids of tokens that end within a character.

        From such a place on only its text is passed on: ids with a gap would be another answer.
        """
        is_first, self._is_first = self._is_first, False
        found = self._of_ids(delta)
        made = "".join(piece.text for piece in found)
        if made == delta.text or (is_first and made == delta.text.lstrip()):  # decoders drop a first space
            return found
        self.has_ended = False
        return self._without_ids(delta)

    def _without_ids(self, delta: Delta) -> list[Piece]:
        """From here on text alone: what is half read here, the server's text holds."""
        self._read, self._text = self._of_text, TextStream(self._tokenizer)
        return self._of_text(delta)

    def _of_ids(self, delta: Delta) -> list[Piece]:
        found: list[Piece] = []
        for index, (token_id, row) in enumerate(zip(delta.ids, delta.rows, strict=True)):
            self._left -= 1
            is_last = index == len(delta.ids) - 1
            found.append(self._piece(token_id, row, self._is_end(token_id, delta, found, is_last)))
            if found[-1].is_end or self._left == 0:
                self.has_ended = True
                break
        return found

    def _is_end(self, token_id: int, delta: Delta, before: list[Piece], is_last: bool) -> bool:
        """Whether a token ends the turn: one of our ends, or the one at which the server stopped.

        A server may stop behind a word (a stop text of its own): then the event's text holds that word.
        """
        if token_id in self._ends:
            return True
        if not is_last or delta.finish not in STOPS:
            return False
        return token_id in self._special or len(delta.text) <= sum(len(piece.text) for piece in before)

    def _piece(self, token_id: int, row: ToldRow | None, is_end: bool) -> Piece:
        text = "" if is_end else self._text.feed(token_id)
        if is_end or self._left == 0:
            text += self._text.finish()
        return Piece(token_id, text, is_end, row)
