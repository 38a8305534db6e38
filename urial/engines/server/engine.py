"""A model behind an OpenAI-compatible server as an engine: text and ids here, generating and scoring there.

`connect` makes one from an entry of models.yaml; two models of one server share its client.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from urial.engines.base import Engine, Sampling
from urial.engines.sampling import check_sampling
from urial.engines.server.probe import Abilities, probe
from urial.engines.server.protocol import generation_body
from urial.engines.server.session import ServerScoreSession
from urial.engines.server.stream import Answer, PieceReader
from urial.engines.server.tokenizer import load_tokenizer
from urial.pairs import ModelSpec, ServerSpec
from urial.progress import Progress
from urial.servers.address import Address
from urial.servers.client import Limits, ServerClient
from urial.servers.event_loop import background
from urial.servers.retry import Timeouts

_clients: dict[tuple[str, str | None, int, float], ServerClient] = {}
_clients_lock = threading.Lock()


class ServerEngine(Engine):
    """One model of a server. Any number of requests may run at once; the server batches them."""

    scoring_tokens = 1  # a server refuses to generate none

    def __init__(
        self,
        client: ServerClient,
        model: str,
        abilities: Abilities,
        tokenizer: PreTrainedTokenizerBase,
        ends: frozenset[int],
        revision: str | None = None,
    ) -> None:
        """`model` is the server's name for it; `ends` are the ids that end a turn."""
        super().__init__(tokenizer, name=f"{model} at {client.address.url}", ends=ends)
        self.capabilities = abilities.capabilities
        self.context_length = abilities.context_length
        self.vocabulary_size = len(tokenizer)
        self.revision = revision
        self.no_rows_reason = abilities.reason
        self.client = client
        self._model = model
        self.telling = abilities.telling

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> Answer:
        """An answer that has been asked for; its pieces come as the server writes them. Raises SettingsError."""
        check_sampling(sampling)
        self.check_length(len(prompt_ids), sampling.max_new_tokens)
        body = generation_body(self._model, prompt_ids, sampling, sorted(self.ends), self.telling)
        reader = PieceReader(self.tokenizer, self.ends, self._special, self.telling, sampling.max_new_tokens)
        return Answer(self.client, body, reader)

    def open_score(self, context_ids: Sequence[int], room: int) -> ServerScoreSession:
        """Score an answer that follows `context_ids`, in pieces as it grows; a server needs no room beforehand."""
        return ServerScoreSession(self.client, self._model, self.telling, context_ids)


def connect(spec: ModelSpec, progress: Progress) -> ServerEngine:
    """Ask the server of `spec` what it can do, and wrap it.

    Raises SettingsError (key, model), WeightsMissing (tokenizer), MismatchError (another
    tokenizer there), EngineError (unreachable, or no model server).
    """
    server = spec.server
    assert server is not None  # callers ask for it
    client = client_of(server)
    tokenizer, ends = load_tokenizer(spec, progress)
    progress(f"Asking the server {client.address.url}", None)
    abilities = background().wait(probe(client, server.model, tokenizer))
    return ServerEngine(client, server.model, abilities, tokenizer, ends, spec.revision)


def client_of(spec: ServerSpec) -> ServerClient:
    """The one client of a server: two models of one server share its connections and its line."""
    address = Address(spec)
    key = (address.url, spec.api_key_env, spec.at_once, spec.patience)
    with _clients_lock:
        if key not in _clients:
            limits, patience = Limits(generating=spec.at_once), Timeouts().times(spec.patience)
            _clients[key] = ServerClient(address, limits=limits, patience=patience)
        return _clients[key]
