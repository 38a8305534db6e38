"""The page: Gradio around the comparison. Start with `page.py`; one file per tab.

Knows the core only through `urial.compare`, `urial.records` and `urial.render`; loads no weights at import.
"""
