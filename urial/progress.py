"""How work tells what it is doing, and the one line on standard error that shows it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tqdm import tqdm

Progress = Callable[[str, float | None], None]  # (stage, fraction from 0 to 1, or None where it is not known)


def silent(stage: str, fraction: float | None) -> None:
    """Shows nothing."""


class Bar:
    """A progress line on standard error, gone at the end unless it `stays`; nothing at all where it is not shown."""

    def __init__(
        self,
        unit: str,
        total: int | None = None,
        *,
        label: str = "",
        is_shown: bool | None = None,
        stays: bool = False,
        layout: str | None = None,
    ) -> None:
        """`total` None is not known; `is_shown` None means on a terminal; `layout` is tqdm's `bar_format`."""
        hidden = not (sys.stderr.isatty() if is_shown is None else is_shown)
        self._bar: tqdm[None] = tqdm(
            desc=label or None, total=total, unit=unit, disable=hidden, leave=stays, file=sys.stderr, bar_format=layout
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    @property
    def count(self) -> float:
        """How many units are done, as far as was told."""
        return float(self._bar.n)

    def step(self) -> None:
        """One unit more."""
        self._bar.update(1)

    def label(self, what: str) -> None:
        """What is being done; empty for nothing in particular."""
        self._bar.set_description_str(what, refresh=False)

    def report(self, what: str, fraction: float | None) -> None:
        """A `Progress`: a stage with the fraction of `total` that is done."""
        self._bar.set_description_str(what)
        if fraction is not None and self._bar.total:
            self.move_to(self._bar.total * fraction)

    def move_to(self, done: float, total: int | None = None, note: str = "", before: int = 0) -> None:
        """So many units are done, `before` of them at no cost of time; of another total where one is given."""
        if total is not None:
            self._bar.total = total
        self._bar.initial = before
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)
        self._bar.refresh()
