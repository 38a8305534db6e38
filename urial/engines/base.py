"""The interface of an engine: it holds one model, generates from prompt ids, and scores answers."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from urial.errors import SettingsError
from urial.records import UnscoredReason
from urial.tokenizer.chat import ChatTokenizer

FIRST_REREAD = 64  # answer tokens of the first chunk where each one costs a reading of the context too
UNKNOWN_ID = -1  # the id of a piece whose server tells text and no ids


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What `score` can tell. Callers read these flags, never an engine's class."""

    has_logits: bool  # full distributions: every statistic is exact
    has_exact_rank: bool  # ranks over the full vocabulary
    has_top: bool  # at least the most probable tokens of each position
    rereads_context: bool = False  # every `extend` costs a reading of context and answer: ask seldom
    tells_own: bool = False  # where `score` can tell nothing: the pieces of an own answer come with their rows


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. Temperature 0 is greedy; a repetition penalty of 1 changes nothing."""

    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0


@dataclass(frozen=True, slots=True)
class Piece:
    """One generated token: its id, the text that it completes, and whether it ends the turn.

    `text` is empty while a character is incomplete and for an end token; pieces joined give the answer. `row` is what
    a model without logits told of this position while it wrote, before temperature and penalties.
    """

    id: int
    text: str
    is_end: bool
    row: ToldRow | None = None  # where the model `tells_own`


class PieceStream(Protocol):
    """Pieces of an answer that is being written elsewhere; iterating waits for the next one."""

    @property
    def position(self) -> int:
        """The number in line before a busy server; 0 where there is no line."""
        ...

    def __iter__(self) -> Iterator[Piece]: ...

    def __next__(self) -> Piece:
        """Raises what ended the answer early, as EngineError where it was foreseen."""
        ...

    def is_ready(self) -> bool:
        """Whether the next piece, or the end, is there."""
        ...

    def listen(self, listener: threading.Event) -> None:
        """The event is set whenever there may be something to read."""
        ...

    def close(self) -> None:
        """Nothing more is read: the writing stops and its memory is freed, within one step."""
        ...


class LogitRows(Protocol):
    """Logits for n answer positions, made in row chunks so that [n, V] never exists at once."""

    def __len__(self) -> int: ...

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Rows start..stop as float32 [stop - start, V]."""
        ...


@dataclass(frozen=True, slots=True)
class TopRow:
    """What a model without logits tells of one position: rank and probability of the answer's token, and a list.

    `top` holds K (id, true probability), the most probable tokens of the whole vocabulary, most probable first.
    """

    rank: int
    probability: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class NoRow:
    """A position of which a model told nothing that can be used, and why: it will not be scored."""

    reason: UnscoredReason


ToldRow = TopRow | NoRow


class TopRows(Protocol):
    """Rows for n answer positions that may still be on their way."""

    def __len__(self) -> int: ...

    def is_ready(self) -> bool:
        """Whether `rows` returns at once."""
        ...

    def rows(self) -> list[ToldRow]:
        """All n; waits for them. Raises EngineError where they cannot be had."""
        ...


class ScoreSession(Protocol):
    """Teacher forcing over a growing answer."""

    chunk: int  # answer tokens for one `extend` while an answer streams: what is cheap without coming late

    def extend(self, answer_ids: Sequence[int]) -> LogitRows | TopRows:
        """Rows that predict `answer_ids`, which follow what was given before: LogitRows where `has_logits`."""
        ...

    def close(self) -> None:
        """Nothing more will be asked: frees its memory."""
        ...


class Engine(ChatTokenizer, ABC):
    """One model, ready to run, and its tokenizer."""

    capabilities: Capabilities
    revision: str | None  # of its weights, for the record; None where nobody knows
    context_length: int  # longest prompt plus answer, in tokens
    vocabulary_size: int
    no_rows_reason: str = ""  # why `open_score` can give nothing, in one sentence; empty where `has_top`
    scoring_tokens: int = 0  # that scoring adds to prompt and answer

    @property
    def preparing(self) -> str:
        """What a first answer still waits for, in words for people; empty where it waits for nothing."""
        return ""

    def check_length(self, prompt_tokens: int, max_new_tokens: int) -> None:
        """Raise SettingsError where prompt and answer do not fit into the model."""
        if prompt_tokens + max_new_tokens + self.scoring_tokens > self.context_length:
            raise SettingsError(
                f"The prompt has {prompt_tokens:,} tokens and the answer may have {max_new_tokens:,}, but {self.name} "
                f"reads at most {self.context_length:,}: shorten the query, use fewer examples or a shorter answer."
            )

    def read_ahead(self, ids: Sequence[int]) -> None:
        """Keep this beginning of prompts when the next one is read, so that later prompts start behind it.

        Nothing to do where a server does so by itself; then there is nothing to forget either.
        """

    def forget(self, ids: Sequence[int]) -> None:
        """Free what is kept for a prompt that no request needs any more."""

    @abstractmethod
    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> PieceStream:
        """Begin an answer that goes on until the end token or the limit. Raises SettingsError."""

    @abstractmethod
    def open_score(self, context_ids: Sequence[int], room: int) -> ScoreSession:
        """Score an answer of up to `room` tokens that follows `context_ids`, in pieces as it grows."""
