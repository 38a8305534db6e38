"""Engines: what runs a model. `base.py` is the interface, `local.py` runs transformers, `server.py` speaks HTTP."""
