"""How loading tells what it is doing: a callback with a stage and, where it is known, a fraction.

Knows nothing about what is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Progress = Callable[[str, float | None], None]  # (stage, fraction from 0 to 1, or None where it is not known)


def silent(stage: str, fraction: float | None) -> None:
    """Shows nothing."""


@contextmanager
def terminal_bar() -> Iterator[Progress]:
    """A bar on standard error: one line, its label the stage, gone when the work is done or standard error is no
    terminal."""
    with tqdm(total=100, leave=False, disable=None, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}") as bar:
        yield lambda stage, fraction: _show(bar, stage, fraction)


def _show(bar: tqdm, stage: str, fraction: float | None) -> None:
    bar.set_description_str(stage, refresh=False)
    bar.n = round(100 * (fraction or 0))
    bar.refresh()
