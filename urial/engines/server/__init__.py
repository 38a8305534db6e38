"""Models behind OpenAI-compatible servers, first of all vLLM.

From the outside in: `engine.py` is the model, `stream.py` and `session.py` are one answer and one scoring,
`client.py` is one server's requests, `protocol.py` the words they use, `probe.py` what a server can do.
"""

from urial.engines.server.engine import ServerEngine, connect

__all__ = ["ServerEngine", "connect"]
