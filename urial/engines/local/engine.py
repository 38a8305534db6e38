"""A model of this process as an engine: requests become sequences of the scheduler, and streams bring back the rest."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from urial.engines.base import Capabilities, Engine, Sampling
from urial.engines.local.answer import Answer, Choose, Compare
from urial.engines.local.family_trial import not_finite
from urial.engines.local.request_outputs import LocalPieces, LocalScoreSession
from urial.engines.local.scheduler import scheduler
from urial.engines.local.sequence import Sequence as Reader
from urial.engines.local.sequence import SharedModel
from urial.engines.sampling import Sampler
from urial.records import SideName

PREPARING = "Preparing the models for this machine: about twenty seconds, the first time only"
LENGTH_NAMES = ("max_position_embeddings", "max_seq_len", "seq_length", "n_positions")
UNLIMITED = 2**20  # for layers that number no positions (Mamba) or slope with distance (Bloom): more fits no memory


@dataclass(frozen=True, slots=True)
class Held:
    """What an engine keeps in memory beside its weights."""

    sequences: int
    prefixes: int
    bytes: int  # of keys and values


class LocalEngine(Engine):
    """One model in this process; any number of requests may run at once, the scheduler batches them."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        ends: frozenset[int],
        shared: SharedModel,
        side: SideName,
        revision: str | None = None,
    ) -> None:
        """`ends` are the ids that end a turn; siblings over the same weights have the same `shared`."""
        config = model.config.get_text_config()
        super().__init__(tokenizer, name=name, ends=ends, rows=int(config.vocab_size))
        self.capabilities = Capabilities(has_logits=True, has_exact_rank=True, has_top=True)
        self.revision = revision
        self.model = model.eval()
        self.shared = shared
        self._adapter = 1.0 if side == "aligned" else 0.0
        self.context_length = context_length_of(config)
        self.vocabulary_size = int(config.vocab_size)

    @property
    def preparing(self) -> str:
        return PREPARING if self.shared.is_preparing else ""

    def read_ahead(self, ids: Sequence[int]) -> None:
        if ids:
            self.shared.prefixes.want(ids)

    def forget(self, ids: Sequence[int]) -> None:
        self.shared.prefixes.forget(ids)

    def reader(self, context_ids: Sequence[int], room: int, adapter: float | None = None) -> Reader:
        """This model behind a context, for an answer of up to `room` tokens; `adapter` None is this side's own."""
        return Reader(self.shared, context_ids, room, self._adapter if adapter is None else adapter)

    def check(self) -> None:
        """Run the model for a moment. Raises WeightsError where it cannot be run, or not right.

        The families that have loops are held against transformers by tests; a start need not wait for them.
        """
        if not self.shared.is_preparing:
            scheduler().call(self.shared.prepare)
            self.shared.runner.result()

    def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        followers: Sequence[Reader] = (),
        compare: Compare | None = None,
        vocabulary: int | None = None,
        adapter: float | None = None,
    ) -> LocalPieces:
        """An answer that is being written. `followers` read it along behind their own contexts, without tokens from
        `vocabulary` on, and `compare` gets the rows of all, this model's first; what it makes of them is in `scores`.
        `adapter` is the factor of the low-rank part, None this side's own. Raises SettingsError.
        """
        self.check_length(len(prompt_ids), sampling.max_new_tokens)
        sampler, limit = self.sampler(sampling, prompt_ids), sampling.max_new_tokens
        reader = self.reader(prompt_ids, limit, adapter)
        return self.write(
            [reader], lambda rows: self.choose(sampler, rows[0]), limit, self.ends, followers, compare, vocabulary
        )

    def write(
        self,
        readers: Sequence[Reader],
        choose: Choose,
        limit: int,
        ends: Container[int],
        followers: Sequence[Reader] = (),
        compare: Compare | None = None,
        vocabulary: int | None = None,
    ) -> LocalPieces:
        """An answer that `readers`, of this model and of others, write together: `choose` gets a row [1, V] of each and
        gives the next token. `limit` is the most tokens, `ends` are those that end it; the rest is as in `generate`.
        """
        answer = Answer(scheduler().wake, choose, limit, ends).read_by(*readers)
        answer.follow_by(*followers, vocabulary=vocabulary)
        if compare is not None:
            answer.score_by(compare)
        scheduler().submit(answer)
        return LocalPieces(answer, self.tokenizer, limit)

    def sampler(self, sampling: Sampling, prompt_ids: Sequence[int]) -> Sampler:
        """What chooses tokens of one answer after that prompt. Raises SettingsError."""
        return Sampler(sampling, prompt_ids, self.model.device)

    def choose(self, sampler: Sampler, logits: torch.Tensor) -> int:
        """The next token for logits [1, V], which joins those that a penalty knows. Raises as `draw` does."""
        token = self.draw(sampler, sampler.scores(logits))
        sampler.scores.add(token)
        return token

    def draw(self, sampler: Sampler, scores: torch.Tensor) -> int:
        """A token from scores [1, V]. Raises WeightsError where they are no numbers."""
        if not sampler.is_greedy and scores.isnan().any():
            raise not_finite(self.name)
        token = sampler.draw(scores)
        if not scores[0, token].isfinite():  # NaN and inf are the greatest
            raise not_finite(self.name)
        return token

    def open_score(self, context_ids: Sequence[int], room: int) -> LocalScoreSession:
        return LocalScoreSession(self.reader(context_ids, room))

    def held(self) -> Held:
        """What this model keeps in memory beside its weights, of both sides where they share them."""
        sequences = scheduler().held(self.shared)
        caches = [sequence.cache for sequence in sequences if sequence.cache is not None]
        size = sum(cache.nbytes for cache in caches) + self.shared.prefixes.nbytes
        return Held(len(sequences), len(self.shared.prefixes), size)


def context_length_of(config: PretrainedConfig) -> int:
    """The longest text that a model reads, prompt and answer together, in tokens."""
    found = (getattr(config, name, None) for name in LENGTH_NAMES)
    return next((length for length in found if isinstance(length, int) and length > 0), UNLIMITED)
