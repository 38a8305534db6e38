"""A transformers model as an engine: prefill once, fork per request, one token a step, exact rows for scoring.

Knows nothing about pairs, prompts' meaning, statistics or pages. Weights come from `urial.weights`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from urial.engines.backbone import backbone_of, read_on
from urial.engines.base import Capabilities, Piece, Sampling, ScoreSession
from urial.engines.cache import Reading, ReadingStore
from urial.engines.chat_tokenizer import ChatTokenizer
from urial.engines.head import Head, HiddenRows
from urial.engines.limits import context_length_of
from urial.engines.output import Logits
from urial.engines.rows import can_decode_by_row
from urial.engines.sampling import Sampler, check_sampling
from urial.engines.sessions import ChunkSession, StepSession
from urial.engines.stepper import LoneSteps, Stepper, Steps
from urial.engines.stopping import Check, Looking, current, go_on, holding
from urial.engines.team import team_for
from urial.engines.text import TextStream
from urial.engines.trial import check_family, not_finite
from urial.engines.trunks import suits_loops
from urial.engines.weight_first import weight_first
from urial.errors import SettingsError
from urial.records import SideName

PREPARING = "Preparing the models for this machine: about twenty seconds, the first time only"
KEPT_READINGS = 6  # constant prefixes of the methods in use, and the prompts of the running comparison


class LocalEngine(ChatTokenizer):
    """One model in this process. One step at a time runs on it, so several requests advance in turn."""

    no_rows_reason = ""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        ends: frozenset[int],
        stepper: Stepper,
        side: SideName,
    ) -> None:
        """`ends` are the ids that end a turn; siblings over the same weights share `stepper`."""
        config = model.config.get_text_config()
        super().__init__(tokenizer, name=name, ends=ends, rows=int(config.vocab_size))
        self.capabilities = Capabilities(has_logits=True, has_exact_rank=True, has_top=True)
        self._model = weight_first(model.eval())
        self._layers = backbone_of(self._model)
        self._head = Head(self._model)
        self._store = ReadingStore(KEPT_READINGS)
        self._reading = threading.Lock()  # thirty at once with the same prompt: one reads, the others find it read
        self._stepper = stepper
        self._is_checked = False
        self._is_by_row: bool | None = None  # found out at the first answer
        self._team = team_for(model.device.type)
        self._is_adapted = side == "aligned"
        self.context_length = context_length_of(config)
        self.vocabulary_size = int(config.vocab_size)

    @property
    def preparing(self) -> str:
        """What a first answer still waits for; empty where it waits for nothing."""
        return "" if self._stepper.is_prepared else PREPARING

    # Running

    def check_length(self, prompt_tokens: int, max_new_tokens: int) -> None:
        """Raise SettingsError where prompt and answer do not fit into the model."""
        if prompt_tokens + max_new_tokens > self.context_length:
            raise SettingsError(
                f"The prompt has {prompt_tokens:,} tokens and the answer may have {max_new_tokens:,}, but {self.name} "
                f"reads at most {self.context_length:,}: shorten the query, use fewer examples or a shorter answer."
            )

    def read(self, ids: Sequence[int]) -> Reading:
        """Read `ids` and keep the reading; what is already read, by whomever, is not read again.

        Raises Stopped, and keeps nothing, where the caller's work is stopped (`stopping.py`).
        """
        with holding(self._reading):
            return self._read(tuple(ids))

    def check(self) -> None:
        """Run the model for a moment, once. Raises WeightsError where it cannot be run, or not right.

        The families that have loops are held against transformers by tests; a start need not wait for them.
        """
        if not (self._is_checked or suits_loops(self._model)):
            with self._stepper.turn:
                self._team(lambda: check_family(self._model, self._head, self.name))
            self._is_checked = True

    def _read(self, ids: tuple[int, ...]) -> Reading:
        self.check()
        start = self._store.longest_start(ids)
        if start is not None and len(start.ids) == len(ids):
            return start
        cache = start.fork() if start else DynamicCache(config=self._model.config)
        done = len(start.ids) if start else 0
        hidden = self.forward(ids[done:], cache)
        reading = Reading(ids, cache, hidden[-1:].clone())
        self._store.keep(reading)
        return reading

    def read_ahead(self, ids: Sequence[int]) -> None:
        """Read the constant beginning of prompts once; `read` goes on behind it."""
        if ids:
            self.read(ids)

    def forget(self, ids: Sequence[int]) -> None:
        """Free the reading of a prompt that no request needs any more."""
        with self._reading:
            self._store.drop(ids)

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[Piece]:
        """One Piece a step until the end token or the limit; closing it frees its cache."""
        check_sampling(sampling)
        self.check_length(len(prompt_ids), sampling.max_new_tokens)
        reading = self.read(prompt_ids)
        logits = self._stepper.logits_of(reading.last_hidden)
        sampler = Sampler(sampling, prompt_ids, logits.device)
        steps = self._open_steps(reading, sampling.max_new_tokens, is_greedy=sampling.is_greedy)
        try:
            yield from self._pieces(sampler, steps, logits, sampling.max_new_tokens)
        finally:
            steps.close()

    def _pieces(self, sampler: Sampler, steps: Steps, logits: torch.Tensor, limit: int) -> Iterator[Piece]:
        text = TextStream(self._tokenizer)
        for count in range(1, limit + 1):
            token_id = self._team(partial(self._choose, sampler, logits))
            told = logits if steps.keeps_rows_apart else None
            is_end = token_id in self._ends
            piece = "" if is_end else text.feed(token_id)
            if is_end or count == limit:
                yield Piece(token_id, piece + text.finish(), is_end, logits=told)
                return
            steps.put(token_id)  # before the piece goes out, so that the sibling's step takes this one along
            yield Piece(token_id, piece, is_end, logits=told)
            logits = steps.logits()

    def _choose(self, sampler: Sampler, logits: Logits) -> int:
        """The next token. Raises WeightsError where the logits [1, V] are no numbers."""
        if not sampler.is_greedy and logits.isnan().any():
            raise not_finite(self.name)
        token_id = sampler.choose(logits)
        if isinstance(logits, torch.Tensor) and not logits[0, token_id].isfinite():  # NaN and inf are the greatest
            raise not_finite(self.name)
        return token_id

    def _open_steps(self, reading: Reading, room: int, *, is_greedy: bool) -> Steps:
        if not self._steps_by_row(reading.cache):
            return LoneSteps(self._model, reading.fork(), self._stepper.turn)
        return self._stepper.open(
            reading.cache, len(reading.ids), room, is_adapted=self._is_adapted, is_greedy=is_greedy
        )

    def _steps_by_row(self, cache: DynamicCache) -> bool:
        if not can_decode_by_row(self._model, cache):
            return False
        with self._reading:
            if self._is_by_row is None:
                self._is_by_row = self._stepper.steps_as(self._layers, is_adapted=self._is_adapted)
        return self._is_by_row

    def open_score(self, context_ids: Sequence[int], room: int) -> ScoreSession:
        """Score an answer of up to `room` tokens that follows `context_ids`, in pieces as it grows.

        Where company changes no row, the scored answer steps along with those that are written.
        """
        reading = self.read(context_ids)
        if not (self._stepper.keeps_rows_apart and self._steps_by_row(reading.cache)):
            return ChunkSession(self, reading)
        first = self._stepper.logits_of(reading.last_hidden)
        return StepSession(first, self._open_steps(reading, room, is_greedy=False))

    def forward(self, ids: Sequence[int], cache: DynamicCache) -> torch.Tensor:
        """Hidden states [len(ids), D]; the cache grows."""
        reader = self._stepper.reader or self._run_layers
        check = current()  # the work may be done in another thread
        with holding(self._stepper.turn):
            return self._team(lambda: reader(ids, cache, is_adapted=self._is_adapted, check=check))

    @torch.inference_mode()
    def _run_layers(
        self, ids: Sequence[int], cache: DynamicCache, *, is_adapted: bool, check: Check = go_on
    ) -> torch.Tensor:
        """As a `PromptReader`; these layers are those of this side already."""
        tokens = torch.tensor([list(ids)], device=self._model.device)
        with Looking(check):
            return read_on(self._layers, tokens, cache)[0]

    def rows(self, hidden: torch.Tensor) -> HiddenRows:
        """Logits of hidden states [n, D], made when asked for."""
        return HiddenRows(hidden, self._head)
