"""The methods: how a base model is prompted, from the bare question to URIAL with eight examples.

A method is a constant prefix and a format; rendering appends turns to the prefix. One method has a pool in place of a
constant prefix and shows what is most like the query. Where the texts come from is in `texts.py`, `files.py`, `icil.py`
and `retrieval.py`; how turns look is in `formats.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from urial.errors import PromptError, SettingsError
from urial.prompts.checks import check_history, check_query
from urial.prompts.files import read_text
from urial.prompts.formats import BACKTICKS, count_queries, recognize
from urial.prompts.icil import ICIL, demonstrations, icil_prefix
from urial.prompts.retrieval import SHOWN, Pool, load_pool, own_pool
from urial.prompts.stops import StopFilter, StopMarks
from urial.prompts.texts import Version, load_texts
from urial.records import Message, Retrieved

EXAMPLE_COUNTS = (0, 1, 3, 8)
DEFAULT_METHOD = "urial"
PROMPT_FILE_LIMIT = 1_000_000  # bytes


class TurnFormat(Protocol):
    """How turns are written down: `formats.Format` and `icil.IcilFormat`."""

    @property
    def marks(self) -> StopMarks: ...

    def finished_turn(self, query: str, answer: str) -> str: ...

    def open_turn(self, query: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Method:
    """A way to prompt, ready to render."""

    name: str
    examples: int  # how many the prompt shows
    format: TurnFormat
    prefix: str  # the constant text before the turns; empty where there is none
    pool: Pool | None = None  # examples are looked for here, query by query

    def render(self, query: str, history: Sequence[Message] = ()) -> str:
        """The exact text for the base model. Raises PromptError for a query or history that cannot be used."""
        check_query(query)
        check_history(history)
        turns = [
            self.format.finished_turn(asked.content, answered.content)
            for asked, answered in zip(history[::2], history[1::2], strict=True)
        ]
        return "".join([self.prefix, self._found(query), *turns, self.format.open_turn(query)])

    def bare(self) -> Method:
        """The query alone in this method's format."""
        return replace(self, name="zero_shot", examples=0, prefix="", pool=None)

    def retrieved(self, query: str) -> list[Retrieved] | None:
        """What the pool gave for a query, the most similar last; None for a method without one."""
        return None if self.pool is None else [facts for _, facts in self.pool.find(query, self.examples)]

    @property
    def identity(self) -> str:
        """Names everything that decides the prompt of a query."""
        return f"{self.name}/{self.examples}/{self.pool.fingerprint if self.pool else ''}/{self.prefix}"

    def _found(self, query: str) -> str:
        shown = self.pool.find(query, self.examples) if self.pool else []
        return "".join(self.format.finished_turn(example.query, example.answer) for example, _ in shown)

    def stops(self) -> StopFilter:
        """A fresh filter for one streamed answer."""
        return StopFilter(self.format.marks)


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method as a list shows it; `counts` are the numbers of examples to choose from, none where it is fixed."""

    title: str
    description: str
    counts: tuple[int, ...] = ()
    default: int | None = None


METHODS: Mapping[str, MethodInfo] = MappingProxyType(
    {
        "urial": MethodInfo(
            "URIAL", "Instructions and restyled examples; harmful requests are declined kindly.", EXAMPLE_COUNTS, 3
        ),
        "urial_no_refusal": MethodInfo(
            "URIAL without refusals", "Instructions and restyled examples that always help.", EXAMPLE_COUNTS, 3
        ),
        "vanilla_icl": MethodInfo(
            "Vanilla ICL", "The queries of URIAL's three examples with short, plain answers and no instructions."
        ),
        "retrieval_icl": MethodInfo(
            "Retrieval ICL",
            "The three most similar questions of a pool with their answers, found anew for each query.",
        ),
        "icil": MethodInfo(
            "ICIL", "Eight fixed demonstrations of other tasks: Definition, Input, Output. Answers are short."
        ),
        "zero_shot": MethodInfo("Zero-shot", "The question alone, in the same format."),
        "file": MethodInfo("Prompt file", "A URIAL prompt file of your own, or an official one."),
    }
)


def method(
    name: str | None = None,
    examples: int | None = None,
    prompt_file: str | Path | None = None,
    pool: str | Path | None = None,
) -> Method:
    """The method of that name; `examples` None takes its default (3 for the two URIAL methods).

    `pool` is the file that retrieval_icl searches, in place of the examples of the embedded sibling.

    No name means "file" where a prompt file is given, else "urial". Raises SettingsError for an unknown name, a number
    of examples that the method does not have, or a prompt file with another method; PromptError for a wrong file.
    """
    name = name or (DEFAULT_METHOD if prompt_file is None else "file")
    if name not in METHODS:
        raise SettingsError(f"There is no method {name!r}; choose one of {', '.join(METHODS)}.")
    if prompt_file is not None and name != "file":
        raise SettingsError(f'A prompt file goes with the method "file", not "{name}"; leave one of them out.')
    if pool is not None and name != "retrieval_icl":
        raise SettingsError(f'A pool goes with the method "retrieval_icl", not "{name}"; leave one of them out.')
    count = _count(name, examples)
    match name:
        case "urial":
            return _urial(name, "safe", count)
        case "urial_no_refusal":
            return _urial(name, "no_refusal", count)
        case "vanilla_icl":
            return _vanilla(name)
        case "retrieval_icl":
            return Method(name, SHOWN, BACKTICKS, "", own_pool() if pool is None else load_pool(pool))
        case "icil":
            return Method(name, len(demonstrations()), ICIL, icil_prefix())
        case "zero_shot":
            return Method(name, 0, BACKTICKS, "")
        case _:
            return _from_file(name, prompt_file)


def _count(name: str, examples: int | None) -> int:
    info = METHODS[name]
    if examples is None:
        return info.default or 0
    if not info.counts:
        raise SettingsError(f'The method "{name}" has no number of examples to set; leave it out.')
    if examples not in info.counts:
        allowed = ", ".join(map(str, info.counts))
        raise SettingsError(f'The method "{name}" has no version with {examples} examples; choose one of {allowed}.')
    return examples


def _urial(name: str, version: Version, count: int) -> Method:
    texts = load_texts()
    shown = [BACKTICKS.finished_turn(each.query, each.answer) for each in texts.shown(version, count)]
    return Method(name, count, BACKTICKS, texts.versions[version].instructions + "".join(shown))


def _vanilla(name: str) -> Method:
    pairs = [(each.query, each.plain) for each in load_texts().shown("safe", 3)]
    shown = [BACKTICKS.finished_turn(query, plain) for query, plain in pairs if plain is not None]
    return Method(name, len(shown), BACKTICKS, "".join(shown))


def _from_file(name: str, path: str | Path | None) -> Method:
    if path is None:
        raise PromptError('The method "file" needs a prompt file; name one with --prompt-file.')
    source = f"Prompt file {str(path)!r}"
    text = read_text(path, source, PROMPT_FILE_LIMIT)
    return Method(name, count_queries(text), recognize(text, source), text)
