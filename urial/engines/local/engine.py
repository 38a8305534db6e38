"""A model of this process as an engine: requests become sequences of the scheduler, and streams bring back the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from urial.engines.base import Capabilities, Sampling
from urial.engines.local.scheduler import scheduler
from urial.engines.local.sequence import Answer, Check, Compare, SharedModel
from urial.engines.local.sequence import Sequence as Reader
from urial.engines.local.streams import LocalPieces, LocalScoreSession
from urial.engines.sampling import Sampler, check_sampling
from urial.engines.text import TokenNames, pieces_of
from urial.errors import MismatchError, SettingsError
from urial.records import Message, SideName

PREPARING = "Preparing the models for this machine: about twenty seconds, the first time only"


@dataclass(frozen=True, slots=True)
class Held:
    """What an engine keeps in memory beside its weights."""

    sequences: int
    prefixes: int
    bytes: int  # of keys and values


class LocalEngine:
    """One model in this process; any number of requests may run at once, the scheduler batches them."""

    no_rows_reason = ""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        ends: frozenset[int],
        shared: SharedModel,
        side: SideName,
    ) -> None:
        """`ends` are the ids that end a turn; siblings over the same weights have the same `shared`."""
        self.name = name
        self.capabilities = Capabilities(has_logits=True, has_exact_rank=True, has_top=True)
        self.model = model.eval()
        self._shared = shared
        self._adapter = 1.0 if side == "aligned" else 0.0
        self._tokenizer = tokenizer
        self._ends = ends
        self._names = TokenNames(tokenizer)
        self._special = frozenset(tokenizer.all_special_ids) | self._ends
        config = model.config.get_text_config()
        self.context_length = int(config.max_position_embeddings)
        self.vocabulary_size = int(config.vocab_size)

    @property
    def preparing(self) -> str:
        """What a first answer still waits for; empty where it waits for nothing."""
        return "" if self._shared.runner.done() else PREPARING

    # Text and ids

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)

    def encode_answer(self, text: str) -> list[int]:
        """Token ids of a given answer: nothing is added at its beginning."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def render_chat(self, messages: Sequence[Message]) -> str:
        if not self._tokenizer.chat_template:
            raise MismatchError(
                f"The aligned model {self.name} has no chat template; put a chat_template.jinja beside its tokenizer."
            )
        turns = [message.model_dump() for message in messages]
        return self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    def encode_chat(self, rendered: str) -> list[int]:
        return self._tokenizer.encode(rendered, add_special_tokens=False)

    def token_text(self, token_id: int) -> str:
        return self._names[token_id]

    def answer_pieces(self, ids: Sequence[int]) -> list[str]:
        return pieces_of(self._tokenizer, ids)

    def is_special(self, token_id: int) -> bool:
        return token_id in self._special

    def vocabulary(self) -> dict[str, int]:
        """Token strings and their ids, to compare two siblings."""
        return self._tokenizer.get_vocab()

    # Running

    def check_length(self, prompt_tokens: int, max_new_tokens: int) -> None:
        """Raise SettingsError where prompt and answer do not fit into the model."""
        if prompt_tokens + max_new_tokens > self.context_length:
            raise SettingsError(
                f"The prompt has {prompt_tokens:,} tokens and the answer may have {max_new_tokens:,}, but {self.name} "
                f"reads at most {self.context_length:,}: shorten the query, use fewer examples or a shorter answer."
            )

    def read_ahead(self, ids: Sequence[int]) -> None:
        """Keep this beginning of prompts when the next one is read; later ones start behind it."""
        if ids:
            self._shared.prefixes.want(ids)

    def forget(self, ids: Sequence[int]) -> None:
        """Free what is kept of a prompt that no request needs any more."""
        self._shared.prefixes.forget(ids)

    def reader(self, context_ids: Sequence[int], room: int, adapter: float | None = None) -> Reader:
        """This model behind a context, for an answer of up to `room` tokens; `adapter` None is this side's own."""
        return Reader(self._shared, context_ids, room, self._adapter if adapter is None else adapter)

    def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        followers: Sequence[Reader] = (),
        compare: Compare | None = None,
        check: Check = lambda tokens: None,
    ) -> LocalPieces:
        """An answer that is being written. `followers` read it along behind their own contexts, and `compare` gets the
        rows of all, this model's first; what it makes of them is in `scores`. `check` raises for a token that cannot be
        scored. Raises SettingsError.
        """
        check_sampling(sampling)
        self.check_length(len(prompt_ids), sampling.max_new_tokens)
        sampler = Sampler(sampling, prompt_ids, self.model.device)
        limit = sampling.max_new_tokens
        answer = Answer(scheduler().wake, choose=lambda rows: sampler.choose(rows[0]), limit=limit, ends=self._ends)
        answer.write_by(self.reader(prompt_ids, limit)).follow_by(*followers)
        if compare is not None:
            answer.score_by(compare, check)
        scheduler().submit(answer)
        return LocalPieces(answer, self._tokenizer, limit)

    def open_score(self, context_ids: Sequence[int], room: int) -> LocalScoreSession:
        """Score an answer of up to `room` tokens that follows `context_ids`, in pieces as it grows."""
        return LocalScoreSession(self.reader(context_ids, room))

    def held(self) -> Held:
        """What this model keeps in memory beside its weights, of both sides where they share them."""
        sequences = scheduler().held(self._shared)
        caches = [sequence.cache for sequence in sequences if sequence.cache is not None]
        size = sum(cache.nbytes for cache in caches) + self._shared.prefixes.nbytes
        return Held(len(sequences), len(self._shared.prefixes), size)
