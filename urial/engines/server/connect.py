"""From an entry of models.yaml that names a server to an engine, and one client for each server.

Knows nothing about pairs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from urial.engines.server.address import Address
from urial.engines.server.client import Limits, ServerClient
from urial.engines.server.engine import ServerEngine
from urial.engines.server.event_loop import background
from urial.engines.server.probe import probe
from urial.engines.server.retry import Patience
from urial.engines.server.tokenizer import load_words
from urial.pairs import ModelSpec, ServerSpec

Progress = Callable[[str, float | None], None]

_clients: dict[tuple[str, str | None, int, float], ServerClient] = {}
_clients_lock = threading.Lock()


def connect(spec: ModelSpec, progress: Progress) -> ServerEngine:
    """Ask the server of `spec` what it can do, and wrap it.

    Raises SettingsError (key, model), WeightsMissing (tokenizer), MismatchError (another
    tokenizer there), EngineError (unreachable, or no model server).
    """
    client = client_of(spec.server)
    words = load_words(spec, progress)
    progress(f"Asking the server {client.address.url}", None)
    abilities = background().wait(probe(client, spec.server.model, words.tokenizer))
    return ServerEngine(client, spec.server.model, abilities, words.tokenizer, words.ends)


def client_of(spec: ServerSpec) -> ServerClient:
    """The one client of a server: two models of one server share its connections and its line."""
    address = Address(spec)
    key = (address.url, spec.api_key_env, spec.at_once, spec.patience)
    with _clients_lock:
        if key not in _clients:
            limits, patience = Limits(generating=spec.at_once), Patience().times(spec.patience)
            _clients[key] = ServerClient(address, limits=limits, patience=patience)
        return _clients[key]
