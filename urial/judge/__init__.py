"""Which answer is better: a judge, any OpenAI-compatible server, reads both sides of a corpus and scores them.

Start with `run.py`; `rubrics.py` says what is asked, `replies.py` how a reply is read, `summary.py` what comes out.
Knows a corpus's folder through `urial.corpus.lines`; nothing about pages.
"""

from urial.judge.summary import summary

__all__ = ["summary"]
