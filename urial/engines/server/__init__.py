"""Models behind OpenAI-compatible servers, first of all vLLM.

From the outside in: `engine.py` is the model, `answer.py` and `session.py` are one answer and one scoring,
`client.py` is one server's requests, `protocol.py` the words they use, `probe.py` what a server can do.
"""

from urial.engines.server.connect import connect
from urial.engines.server.engine import ServerEngine

__all__ = ["ServerEngine", "connect"]
