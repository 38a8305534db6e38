"""Models behind OpenAI-compatible servers, first of all vLLM.

From the outside in: `engine.py` is the model, `stream.py` and `session.py` are one answer and one scoring,
`protocol.py` the words they use, `logprobs.py` the rows they bring, `probe.py` what a server can do. The requests
themselves are `urial/servers/`.
"""

from urial.engines.server.engine import ServerEngine, connect

__all__ = ["ServerEngine", "connect"]
