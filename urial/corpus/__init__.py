"""One comparison over many questions: run, resume, figures, exports. Start with `run.py`.

Knows comparisons through `urial.compare` and `urial.records`; nothing about pages.
"""
