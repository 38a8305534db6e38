"""Side-by-side timings in one run: our comparison and its rivals, in turns, on the same weights and queries.

`workload.py` says what is run, one file a contestant runs it, `measure.py` takes turns, `table.py` shows the result.
"""
