"""ICIL: eight fixed demonstrations of other tasks before every query (Ye et al., arXiv 2302.14691), in its form.

A demonstration is Definition, Input, Output. Ours are our own (`icil.yaml`, CC0); as in the published sets most choose
among answers, two choices first. A chat query becomes a definition with the input "None". The method was made for such
short tasks: a base prompted so answers briefly. Where the published form ends with a blank behind "Output:", ours ends
at the colon, because tokenizers put that blank into the answer's first token.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import yaml
from pydantic import TypeAdapter

from urial.prompts.stops import StopMarks
from urial.prompts.texts import Closed

HEADING = "Definition:"
NO_INPUT = "None"


class Demonstration(Closed):
    definition: str
    input: str
    output: str


class IcilFormat:
    """Turns as tasks: the query is the definition."""

    name = "icil"
    marks = StopMarks((HEADING,), next_turn=HEADING, restart=HEADING, closing=None)

    def task(self, definition: str, given: str, output: str) -> str:
        return f"{self._asked(definition, given)} {output}\n\n"

    def finished_turn(self, query: str, answer: str) -> str:
        return self.task(query, NO_INPUT, answer)

    def open_turn(self, query: str) -> str:
        return self._asked(query, NO_INPUT)

    def _asked(self, definition: str, given: str) -> str:
        return f"{HEADING} {definition}\n\nInput: {given}\nOutput:"


ICIL = IcilFormat()


@cache
def demonstrations() -> tuple[Demonstration, ...]:
    """All eight, in order."""
    source = resources.files("urial.prompts").joinpath("icil.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Demonstration, ...]).validate_python(yaml.safe_load(source))


def icil_prefix() -> str:
    return "".join(ICIL.task(each.definition, each.input, each.output) for each in demonstrations())
