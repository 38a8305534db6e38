"""A model behind an OpenAI-compatible server as an engine: text and ids here, generating and scoring there.

Knows nothing about pairs, prompts' meaning, statistics or pages.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from urial.engines.base import Sampling
from urial.engines.sampling import check_sampling
from urial.engines.server.answer import Answer
from urial.engines.server.client import ServerClient
from urial.engines.server.pieces import PieceReader
from urial.engines.server.probe import Abilities
from urial.engines.server.protocol import generation_body
from urial.engines.server.session import ServerScoreSession
from urial.errors import SettingsError
from urial.tokenizer.chat import ChatTokenizer


class ServerEngine(ChatTokenizer):
    """One model of a server. Any number of requests may run at once; the server batches them."""

    def __init__(
        self,
        client: ServerClient,
        model: str,
        abilities: Abilities,
        tokenizer: PreTrainedTokenizerBase,
        ends: frozenset[int],
    ) -> None:
        """`model` is the server's name for it; `ends` are the ids that end a turn."""
        super().__init__(tokenizer, name=f"{model} at {client.address.url}", ends=ends)
        self.capabilities = abilities.capabilities
        self.context_length = abilities.context_length
        self.vocabulary_size = len(tokenizer)
        self.no_rows_reason = abilities.reason
        self.preparing = ""
        self._client = client
        self._model = model
        self._telling = abilities.telling

    @property
    def waiting(self) -> int:
        """Answers in line before this server."""
        return self._client.generating.waiting

    # Running

    def check_length(self, prompt_tokens: int, max_new_tokens: int) -> None:
        """Raise SettingsError where prompt and answer, and the one token that scoring adds, do not fit."""
        if prompt_tokens + max_new_tokens + 1 > self.context_length:
            raise SettingsError(
                f"The prompt has {prompt_tokens:,} tokens and the answer may have {max_new_tokens:,}, but {self.name} "
                f"reads at most {self.context_length:,}: shorten the query, use fewer examples or a shorter answer."
            )

    def read_ahead(self, ids: Sequence[int]) -> None:
        """Nothing to do: a server that keeps beginnings of prompts does so by itself."""

    def forget(self, ids: Sequence[int]) -> None:
        """Nothing is kept here."""

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> Answer:
        """An answer that has been asked for; its pieces come as the server writes them. Raises SettingsError."""
        check_sampling(sampling)
        self.check_length(len(prompt_ids), sampling.max_new_tokens)
        body = generation_body(self._model, prompt_ids, sampling, sorted(self._ends), self._telling)
        reader = PieceReader(self._tokenizer, self._ends, self._special, self._telling, sampling.max_new_tokens)
        return Answer(self._client, body, reader)

    def open_score(self, context_ids: Sequence[int], room: int) -> ServerScoreSession:
        """Score an answer that follows `context_ids`, in pieces as it grows; a server needs no room beforehand."""
        return ServerScoreSession(self._client, self._model, self._telling, context_ids)
