"""One comparison as a stream of events; `run.py` is the way in."""
