"""Engines: what runs a model. `base.py` is the interface; `local/` runs models in this process, `server/` asks over HTTP."""
