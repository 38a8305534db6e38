"""One streamed answer: from the events of a server to pieces, one for each token id, with the text that it completes.

The text is decoded here from the ids. Where a server tells no ids, or not all, its own text is passed on, under
UNKNOWN_ID. Pieces joined give the answer, whatever a server leaves out. Events are read on the loop of the connections,
pieces by the thread that wants them.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from urial.engines.base import UNKNOWN_ID, Piece
from urial.engines.server.protocol import Delta, LogprobSupport, first_choice, read_delta
from urial.errors import EngineError, UrialError
from urial.servers import failures
from urial.servers.admission import QueuePosition
from urial.servers.client import ServerClient
from urial.servers.event_loop import background
from urial.tokenizer.text import TextStream

log = logging.getLogger(__name__)

STOPS = ("stop", "eos", "eos_token", "stop_sequence", "end_turn")  # the words of several servers for the same
LENGTHS = ("length", "max_tokens")


class Answer(Iterator[Piece]):
    """Pieces of an answer; begins at once, waits in line where the server is busy. Closing it ends the request."""

    def __init__(self, client: ServerClient, body: Mapping[str, Any], reader: PieceReader) -> None:
        self._client = client
        self._body = body
        self._reader = reader
        self._ticket = QueuePosition()
        self._arrived: queue.SimpleQueue[Piece | UrialError | None] = queue.SimpleQueue()
        self._listener: threading.Event | None = None
        self._work = background().start(self._fetch())

    @property
    def position(self) -> int:
        """0 once the server is at work, else the number in line."""
        return self._ticket.position

    def is_ready(self) -> bool:
        """Whether the next step returns at once."""
        return not self._arrived.empty()

    def __next__(self) -> Piece:
        """The next token; waits for it. Raises EngineError or SettingsError where the answer failed."""
        found = self._arrived.get()
        if isinstance(found, Piece):
            return found
        self._arrived.put(found)  # the end stays the end
        if found is None:
            raise StopIteration
        raise found

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever there may be something to read."""
        self._listener = listener
        listener.set()

    def _put(self, item: Piece | UrialError | None) -> None:
        self._arrived.put(item)
        if self._listener is not None:
            self._listener.set()

    def close(self) -> None:
        """Stop: the connection is closed, at which a server ends its work."""
        self._work.cancel()
        self._arrived.put(None)

    async def _fetch(self) -> None:
        """Runs on the loop: whatever happens, who waits for pieces is told."""
        end: UrialError | None = EngineError("The answer was interrupted; what was written is kept, try again.")
        try:
            with failures.naming_what_is_missing(self._client.address):
                await self._read()
            end = None
        except UrialError as error:
            end = error
        except Exception:
            log.exception("reading an answer failed")
            raise
        finally:
            for piece in self._reader.held():
                self._put(piece)
            self._put(end)

    async def _read(self) -> None:
        """Raises EngineError where the reply ends and the answer does not."""
        async with aclosing(self._client.stream(self._body, self._ticket)) as events:
            async for event in events:
                choice = first_choice(event)
                for piece in self._reader.pieces(choice) if choice is not None else ():
                    self._put(piece)
                if self._reader.trouble is not None:
                    raise failures.gave_up(self._client.address, *self._reader.trouble)
                if self._reader.has_ended:
                    return
        raise failures.unfinished(self._client.address)


class PieceReader:
    """Reads one answer; `has_ended` once its last token was seen, `trouble` where the server broke it off."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        ends: Collection[int],
        special: Collection[int],
        telling: LogprobSupport,
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
            is_end = self._is_end(token_id, delta, found, index == len(delta.ids) - 1)
            text = self._text.feed_answer(token_id, is_end=is_end, is_last=self._left == 0)
            found.append(Piece(token_id, text, is_end, row))
            if is_end or self._left == 0:
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
