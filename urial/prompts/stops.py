"""Where a base model's answer ends: a filter for streamed text that never lets a stop marker through.

A base model does not know when to be silent. It closes the fence of its format, or runs on into the next heading;
everything from there on is dropped, with the line break before it. The rules, line by line:

- Outside a code block, a line that starts with a turn heading ("# Query:") ends the answer, and so does the restart
  line ("# Instruction") alone. Inside a code block a "# Query:" comment is code, unless the line is exactly the
  heading of the next turn: then the model has run on without closing its block.
- A fence with an info string ("```python"), an indented one or one of four or more backticks opens a code block, which
  the next bare fence of at least that length closes, as in CommonMark. Such blocks are kept whole.
- A bare "```" outside a code block ends the answer where the format closes answers so. It opens a code block only
  where one is announced (the line before is blank or ends with a colon, or there is none) and code follows directly
  (the next line is neither blank nor a heading nor another bare fence). Formats without a closing fence have no such
  doubt: there it always opens.

The text is read one character at a time, so how it is cut into pieces cannot matter. Held back are only line breaks,
blank lines and the beginning of a line that may still become a marker (and a bare fence in doubt). Time is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLANKS = " \t\r"
LONGEST_MARK = 64  # a line whose beginning is longer than this is no marker, whatever blanks it ends with
COLONS = (":", "：")

_FENCE = re.compile(r"([ \t]*)(`{3,})([^`]*)")


@dataclass(frozen=True, slots=True)
class StopMarks:
    """What ends an answer in one format."""

    headings: tuple[str, ...]
    next_turn: str  # the one heading that counts inside a code block
    restart: str
    closing: str | None  # the fence that closes an answer, or None


class StopFilter:
    """Feed it pieces, show what it returns; once `stopped`, everything further is dropped.

    Worked example, format `backticks`: feed("Sure!") -> "Sure!"; feed("\\n``") -> ""; feed("`\\n") -> "" and stopped.
    """

    def __init__(self, marks: StopMarks) -> None:
        self.stopped = False
        self._marks = marks
        self._held: list[str] = []  # what stands before the current line and is not shown yet
        self._line: list[str] = []  # the current line's characters
        self._is_shown = False  # whether the current line is being shown
        self._code_ticks = 0  # backticks of the fence that opened the current code block; 0 outside
        self._is_announced = True  # whether a bare fence on this line may open a code block
        self._has_doubt = False  # whether `_held` ends with a bare fence that may open a code block

    def feed(self, piece: str) -> str:
        """The text that may be shown now; pieces joined give the answer."""
        shown: list[str] = []
        for character in piece:
            if self.stopped:
                break
            shown.append(self._end_line() if character == "\n" else self._extend_line(character))
        return "".join(shown)

    def finish(self) -> str:
        """What was held back, for an answer that the model itself has ended; a heading cut short is not part of it.

        At a length limit there is nothing to add: what is held back then may be half a marker.
        """
        if self.stopped or self._is_shown:
            return ""
        line = "".join(self._line)
        if self._has_doubt or self._is_stop(line) or self._is_closing(line) or self._is_begun_heading(line):
            return self._stop()
        return self._show_line()

    def _extend_line(self, character: str) -> str:
        self._line.append(character)
        if self._is_shown:
            return character
        start = "".join(self._line)  # at most LONGEST_MARK + 1 characters
        if self._has_heading(start):
            return self._stop()
        if len(start) <= LONGEST_MARK and self._may_become_mark(start):
            return ""
        return self._show_line()

    def _end_line(self) -> str:
        line = "".join(self._line)
        if self._is_shown:
            return self._next_line(line, "")
        if self._is_stop(line) or (self._has_doubt and not line.strip(BLANKS)):
            return self._stop()
        if self._is_closing(line):
            return self._doubt(line) if self._is_announced else self._stop()
        if not line.strip(BLANKS):
            return self._hold(line)
        return self._next_line(line, self._show_line())

    def _next_line(self, line: str, shown: str) -> str:
        """Go on after a line that is shown."""
        self._follow_fences(line)
        self._is_announced = line.rstrip(BLANKS).endswith(COLONS)
        self._is_shown = False
        self._line.clear()
        self._held.append("\n")
        return shown

    def _hold(self, line: str) -> str:
        """Go on after a blank line: text may follow, or the end."""
        self._is_announced = True
        self._line.clear()
        self._held.append(line + "\n")
        return ""

    def _doubt(self, line: str) -> str:
        """Go on after a bare fence that may open a code block: the next line tells."""
        self._has_doubt = True
        self._is_announced = False
        self._line.clear()
        self._held.append(line + "\n")
        return ""

    def _show_line(self) -> str:
        if self._has_doubt:
            self._has_doubt = False
            self._code_ticks = 3
        self._is_shown = True
        text = "".join([*self._held, *self._line])
        self._held.clear()
        return text

    def _stop(self) -> str:
        self.stopped = True
        self._held.clear()
        self._line.clear()
        return ""

    def _follow_fences(self, line: str) -> None:
        fence = _FENCE.fullmatch(line.rstrip(BLANKS))
        if fence is None:
            return
        ticks, info = len(fence[2]), fence[3]
        if not self._code_ticks:
            self._code_ticks = ticks
        elif ticks >= self._code_ticks and not info:
            self._code_ticks = 0

    def _has_heading(self, start: str) -> bool:
        """Whether a line outside a code block begins with a heading, be it behind a closing fence."""
        return not self._code_ticks and self._behind_fence(start).startswith(self._marks.headings)

    def _may_become_mark(self, start: str) -> bool:
        body = start.rstrip(BLANKS)
        if not body:
            return True
        if self._code_ticks:
            return self._marks.next_turn.startswith(start) or body == self._marks.next_turn
        rest = self._behind_fence(start)
        marks = (*self._marks.headings, self._marks.restart, self._marks.closing or "")
        return any(mark.startswith(rest) or mark == body for mark in marks)

    def _behind_fence(self, start: str) -> str:
        """The line without a closing fence before it: a model may forget the line break between fence and heading."""
        closing = self._marks.closing
        return start.removeprefix(closing).lstrip(BLANKS) if closing and start.startswith(closing) else start

    def _is_stop(self, line: str) -> bool:
        """Whether a whole line ends the answer on its own."""
        body = line.rstrip(BLANKS)
        return body == (self._marks.next_turn if self._code_ticks else self._marks.restart)

    def _is_begun_heading(self, line: str) -> bool:
        """Whether a last line is a heading cut short behind its first letter or later."""
        begun = len(line) > len("# ") and any(heading.startswith(line) for heading in self._marks.headings)
        return begun and not self._code_ticks

    def _is_closing(self, line: str) -> bool:
        return not self._code_ticks and line.rstrip(BLANKS) == self._marks.closing
