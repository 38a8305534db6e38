"""The three turn formats: how a conversation is written down for a base model, and how a prompt file shows which.

A prompt is constant text (instructions and examples, verbatim) with turns appended to it. Nothing is put between them:
each turn brings its own line breaks, so that official URIAL prompt files render to the official characters.
`files.py` reads, `methods.py` composes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from urial.errors import PromptError
from urial.prompts.stops import StopMarks

FormatName = Literal["backticks", "user_v5", "user_v6"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write turns: `before` + heading + `opening` + text + `closing`."""

    name: FormatName
    query_heading: str
    answer_heading: str
    before: str
    opening: str
    closing: str
    trimmed: str  # characters taken off both ends of every text; none for an empty string
    marks: StopMarks

    def query_turn(self, query: str) -> str:
        """The user's half of a turn."""
        return self._half(self.query_heading, query)

    def finished_turn(self, query: str, answer: str) -> str:
        """A turn that is over: what examples and earlier turns look like."""
        return self.query_turn(query) + self._half(self.answer_heading, answer)

    def open_turn(self, query: str) -> str:
        """The last turn, ending where the model is to write its answer."""
        return self.query_turn(query) + self.before + self.answer_heading + self.opening

    def _half(self, heading: str, text: str) -> str:
        return self.before + heading + self.opening + text.strip(self.trimmed) + self.closing


HEADINGS = ("# Query:", "# Answer:", "# User:", "# Assistant:")
RESTART = "# Instruction"  # a model that runs on may begin the whole prompt again

BACKTICKS = Format(
    name="backticks",
    query_heading="# Query:",
    answer_heading="# Answer:",
    before="\n",
    opening="\n```\n",
    closing="\n```\n",
    trimmed="",
    marks=StopMarks(HEADINGS, next_turn="# Query:", restart=RESTART, closing="```"),
)
USER_V5 = Format(
    name="user_v5",
    query_heading="# User:",
    answer_heading="# Assistant:",
    before="\n",
    opening="\n\n",
    closing="\n\n",
    trimmed="",
    marks=StopMarks(HEADINGS, next_turn="# User:", restart=RESTART, closing=None),
)
USER_V6 = Format(
    name="user_v6",
    query_heading="# User:",
    answer_heading="# Assistant:",
    before="\n\n",
    opening="\n",
    closing="\n",
    trimmed="\n",
    marks=StopMarks(HEADINGS, next_turn="# User:", restart=RESTART, closing=None),
)
FORMATS: dict[FormatName, Format] = {each.name: each for each in (BACKTICKS, USER_V5, USER_V6)}

_QUERY_HEADING = re.compile(r"^(# Query:|# User:)[ \t]*\n([^\n]*)", re.MULTILINE)


def count_queries(text: str) -> int:
    """How many examples a prompt text holds: its query headings."""
    return len(_QUERY_HEADING.findall(text))


def recognize(text: str, source: str) -> Format:
    """The format of a prompt text. Raises PromptError, naming `source`, where it cannot be told.

    The first query heading that fits a format decides. A text without examples is in `backticks` if it mentions
    "# Query:"; a mere mention of "# User:" does not tell `user_v5` from `user_v6`, so that is refused.
    """
    for heading, next_line in _QUERY_HEADING.findall(text):
        if heading == "# User:":
            return USER_V6 if next_line.strip() else USER_V5
        if next_line.lstrip().startswith("```"):
            return BACKTICKS
    if _QUERY_HEADING.search(text):
        raise PromptError(f'{source}: no "# Query:" heading is followed by a line with ```; add the fences.')
    if "# Query:" in text:
        return BACKTICKS
    if "# User:" in text:
        raise PromptError(f'{source} has no example under "# User:", which would tell its format; add one.')
    raise PromptError(f'{source} has no "# Query:" or "# User:" heading; choose a URIAL prompt file.')
