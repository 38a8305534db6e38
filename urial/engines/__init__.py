"""What runs a model: `base.py` is the interface, `local/` this process, `server/` an OpenAI-compatible server."""
