"""One side of a comparison while it runs: its tokens, its text, its clock, its end."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from urial.engines.base import UNKNOWN_ID, Piece, PieceStream, ToldRow, TopRows
from urial.records import Side, StopReason


class TextFilter(Protocol):
    """Holds back what may become a stop marker."""

    stopped: bool

    def feed(self, piece: str) -> str: ...

    def finish(self) -> str: ...


class OpenText:
    """The filter of a side that has no stop marker: everything is shown."""

    stopped = False

    def feed(self, piece: str) -> str:
        return piece

    def finish(self) -> str:
        return ""


class ToldRows:
    """Rows that a server sent along with the answer that it wrote."""

    def __init__(self, rows: list[ToldRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def is_ready(self) -> bool:
        return True

    def rows(self) -> list[ToldRow]:
        return self._rows


class SideRun:
    """Steps through one side's pieces and keeps what the record needs."""

    def __init__(self, prompt: str, prompt_ids: list[int], pieces: PieceStream, text_filter: TextFilter) -> None:
        self._prompt = prompt
        self._prompt_ids = prompt_ids
        self._pieces = pieces
        self._filter = text_filter
        self._started = time.perf_counter()
        self._first: float | None = None
        self._ended = self._started
        self._shown: list[str] = []
        self._pieces_seen = 0
        self.has_nameless = False  # whether a part of the text came without token ids
        self.token_ids: list[int] = []
        self.token_texts: list[str] = []
        self._rows: list[ToldRow | None] = []
        self.stop_reason: StopReason | None = None

    @property
    def is_running(self) -> bool:
        return self.stop_reason is None

    @property
    def is_ready(self) -> bool:
        """Whether a step has something to do now."""
        return self._pieces.is_ready()

    @property
    def position(self) -> int:
        """The number in line before a busy server; 0 where there is no line."""
        return self._pieces.position

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever a step may have something to do."""
        self._pieces.listen(listener)

    def step(self) -> tuple[int, str] | None:
        """Advance by one token: its id and the text to show now, or None where the engine has no more."""
        piece = next(self._pieces, None)
        if piece is None:
            self.end("length")
            return None
        self._count(piece)
        shown = self._filter.feed(piece.text)
        self._shown.append(shown)
        if piece.is_end or self._filter.stopped:
            shown += self.end("stop")
        return piece.id, shown

    def told(self, start: int) -> TopRows | None:
        """What the model told of the tokens from `start` on while it wrote them; None where that is not there."""
        rows = [row for row in self._rows[start:] if row is not None]
        count = len(self.token_ids) - start
        return ToldRows(rows) if len(rows) == count else None

    def end(self, reason: StopReason) -> str:
        """End this side and free its memory; returns the text that was still held back."""
        if not self.is_running:
            return ""
        self.stop_reason = reason
        self._ended = time.perf_counter()
        self._pieces.close()
        # Cut short, what is held back may be half a stop marker; only an answer that ended by itself gives it out.
        rest = self._filter.finish() if reason == "stop" else ""
        self._shown.append(rest)
        return rest

    def side(self) -> Side:
        seconds = self._ended - self._started
        count = self._pieces_seen
        return Side(
            prompt=self._prompt,
            prompt_ids=self._prompt_ids,
            text="".join(self._shown),
            token_ids=self.token_ids,
            stop_reason=self.stop_reason or "error",
            seconds=seconds,
            first_token_seconds=self._first,
            tokens_per_second=count / seconds if count and seconds > 0 else None,
        )

    def _count(self, piece: Piece) -> None:
        if self._first is None:
            self._first = time.perf_counter() - self._started
        self._pieces_seen += 1
        self.has_nameless |= piece.id == UNKNOWN_ID and not piece.is_end
        if piece.id != UNKNOWN_ID:
            self.token_ids.append(piece.id)
            self.token_texts.append(piece.text)
            self._rows.append(piece.row)
