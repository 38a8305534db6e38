"""The line of progress: on a terminal only, and what is told is what is shown."""

from __future__ import annotations

import io
import sys

import pytest

from urial.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stderr, is_seen in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stderr)
        with Bar("%", 100) as bar:
            bar.report("Converting the weights", 0.5)
        assert ("Converting the weights:  50%" in stderr.getvalue()) is is_seen


def test_what_was_there_before_counts_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar(" answers", stays=True) as bar:
        bar.move_to(5, 20, "1 failed", before=4)
        bar.step()
    assert bar.count == 6
    assert "6/20" in sys.stderr.getvalue() and "1 failed" in sys.stderr.getvalue()


def test_a_stage_of_unknown_length_shows_its_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Bar("", layout="{desc}") as bar:
        bar.report("base 3 tokens", None)
    assert "base 3 tokens" in sys.stderr.getvalue() and "it/s" not in sys.stderr.getvalue()
