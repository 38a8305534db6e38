"""Run as a program: the growth of the peak memory, in MB, from a corpus of so many questions to a larger one.

Usage: python -m tests.support.corpus_memory FEW MANY [TOKENS]
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

from tests.support import tiny
from urial.compare.request import Request
from urial.corpus.lines import FILE
from urial.corpus.questions import Question
from urial.corpus.run import Plan, run
from urial.prompts import method


def corpus(folder: Path, count: int, tokens: int) -> float:
    """Answers that many questions; the peak of this process until then, in MB."""
    questions = [Question(f"{count}-{n}", f"What is number {n} of {count}?") for n in range(count)]
    found = [method("zero_shot")]
    plan = Plan(folder / str(count), questions, found, Request("x", found[0], max_new_tokens=tokens), parallel=4)
    progress = run(plan, tiny.pair())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with (plan.folder / FILE).open("rb") as file:  # line by line: the whole file would be the next peak
        lines = sum(1 for _ in file)
    assert (progress.done, progress.failed, lines) == (count, 0, count)
    return peak


def main(few: int, many: int, tokens: int = 12) -> None:
    with tempfile.TemporaryDirectory() as folder:
        corpus(Path(folder), few + 1, tokens)  # whatever is made once
        before = corpus(Path(folder), few, tokens)
        print(corpus(Path(folder), many, tokens) - before)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
