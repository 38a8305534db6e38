"""Run as a program: starts one run again and again in a fork of itself and kills it at a random moment.

A fork, because what it imports takes seconds; nothing has been computed before it. Prints how many lines there were
after each kill, then runs to the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from tests.support import tiny
from urial.compare.request import Request
from urial.corpus.lines import FILE
from urial.corpus.questions import Question
from urial.corpus.run import Plan, run
from urial.prompts import method

QUESTIONS = 30


def plan(folder: Path) -> Plan:
    questions = [Question(str(n), f"What is number {n}?") for n in range(QUESTIONS)]
    methods = [method("zero_shot")]
    return Plan(folder, questions, methods, Request("x", methods[0], max_new_tokens=24), parallel=3)


def work(folder: Path) -> None:
    torch.set_num_threads(1)
    run(plan(folder), tiny.pair())


def main(folder: Path, kills: int, seed: int) -> None:
    chance, found = random.Random(seed), []
    path = folder / FILE
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            work(folder)
            os._exit(0)
        size = path.stat().st_size if path.exists() else 0
        wait_for_a_change(path, size, child)
        time.sleep(chance.random() * 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if path.exists() and chance.random() < 0.5:  # as a kill within a write leaves it: the beginning of a line
            with path.open("ab") as file:
                file.write(b'{"schema": "urial.compar'[: chance.randrange(1, 24)])
        found.append(path.read_bytes().count(b"\n") if path.exists() else 0)
    work(folder)
    print(json.dumps(found))


def wait_for_a_change(path: Path, size: int, child: int) -> None:
    """Until a line more is there, or the run has ended by itself."""
    for _ in range(2000):
        if (path.exists() and path.stat().st_size > size) or os.waitid(
            os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
