"""What a run does: a visitor's question becomes a task for the models, and its events become steps of the page.

The dial's and nudging's are in `steering.py`. Mistakes raise UrialError; `service.py` runs what is made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from urial.compare.events import Event
from urial.compare.request import Request
from urial.errors import SettingsError
from urial.records import Comparison, SideName
from urial.ui import asking, page_steps
from urial.ui.asking import Ask
from urial.ui.ladder_steps import Keep, LadderSteps
from urial.ui.tasks import AgainTask, CompareTask, GoOnTask, LadderTask, Task

READING = "Reading the prompt"
ANSWER_LIMIT = 4096  # tokens of an answer that the base is asked to continue


@dataclass(frozen=True, slots=True)
class Work:
    """What a run does once the models are there, and how its events become steps of the page."""

    ask: Ask
    task: Task
    steps: Callable[[list[Event], str], list[page_steps.Step]] = lambda events, note: []  # events, the pair's note
    reusable: bool = False  # whether the same question is answered with it too, now or later
    opening: str = READING  # what the models do first


def compare_work(ask: Ask) -> Work:
    """A whole comparison."""

    def steps(events: list[Event], note: str) -> list[page_steps.Step]:
        return page_steps.steps_of(events, lambda event: page_steps.reset(event, ask.query, ask.history, note), note)

    request = asking.to_request(ask)
    return Work(ask, CompareTask(request), steps, reusable=True, opening=opening_of(request))


def again_work(ask: Ask, earlier: Comparison, side: str, draw: int) -> Work:
    """One side of `earlier` once more."""
    name = side_name(side)

    def steps(events: list[Event], note: str) -> list[page_steps.Step]:
        return page_steps.steps_of(events, lambda event: page_steps.restart(event, name), note)

    return Work(ask, AgainTask(asking.once_more(ask, earlier, name, draw), name, earlier), steps)


def branch_work(ask: Ask, answer_ids: object) -> Work:
    """The base writes on after the beginning of an answer."""
    ids = answer_tokens(answer_ids)
    return Work(ask, GoOnTask(asking.to_request(ask), ids), lambda events, note: page_steps.branch_steps(events))


def ladder_work(ask: Ask, earlier: Comparison, keep: Keep) -> Work:
    """The aligned answer of `earlier` under every prompt; `keep` gets the record of each."""
    told = LadderSteps(earlier, keep)
    return Work(ask, LadderTask(earlier), lambda events, note: told.steps(events))


def opening_of(request: Request) -> str:
    """What its answers begin with."""
    rewrites = request.aligned_method == "s2a" and request.rewrite is None
    return "The aligned model rewrites the question first (System 2 Attention)" if rewrites else READING


def side_name(side: str) -> SideName:
    """Raises SettingsError for anything but a side."""
    if side == "base":
        return "base"
    if side == "aligned":
        return "aligned"
    raise SettingsError(f"There is no side {side!r}; choose base or aligned.")


def answer_tokens(ids: object) -> tuple[int, ...]:
    """Token ids sent by a page. Raises SettingsError for anything else."""
    if not isinstance(ids, list) or not all(type(each) is int and each >= 0 for each in ids):
        raise SettingsError("The page sent no token ids to continue from; load the page again.")
    if len(ids) > ANSWER_LIMIT:
        raise SettingsError(f"The base continues after at most {ANSWER_LIMIT:,} tokens; choose an earlier one.")
    return tuple(ids)
