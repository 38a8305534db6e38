"""One line that is rewritten while something runs, in a notebook's cell or at a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urial.compare.events import AlignedToken, BaseToken, Event
from urial.progress import Bar, Progress

LINE_SECONDS = 0.2  # between two states of the line that is shown while a comparison runs


def counted(events: Iterator[Event]) -> Iterator[Event]:
    """The same events, with a live line that counts tokens of both answers."""
    tokens, due = {BaseToken: 0, AlignedToken: 0}, 0.0
    with progress_line() as report:
        for event in events:
            if type(event) in tokens:
                tokens[type(event)] += 1
                if time.monotonic() >= due:  # a notebook's line is a message to the browser each time
                    report(f"base {tokens[BaseToken]} tokens, aligned {tokens[AlignedToken]} tokens", None)
                    due = time.monotonic() + LINE_SECONDS
            yield event


@contextmanager
def progress_line() -> Iterator[Progress]:
    """A function (what, fraction done or None) that rewrites one line, which is gone at the end.

    In a notebook the line is an output of the cell, at a terminal it is on standard error; elsewhere there is none.
    """
    shell = notebook_shell()
    if shell is None:
        with Bar("", layout="{desc}") as bar:
            yield lambda what, fraction: bar.report(line_of(what, fraction), None)
        return
    handle = shell.display({"text/plain": ""}, raw=True, display_id=True)
    try:
        yield lambda what, fraction: handle.update({"text/plain": line_of(what, fraction)}, raw=True)
    finally:
        handle.update({"text/html": "", "text/plain": ""}, raw=True)


def notebook_shell() -> Any:
    """IPython's display module where a notebook's kernel runs this, else None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import display, get_ipython

    return display if getattr(get_ipython(), "kernel", None) is not None else None


def line_of(what: str, fraction: float | None) -> str:
    return what if fraction is None else f"{what}: {fraction:.0%}"
