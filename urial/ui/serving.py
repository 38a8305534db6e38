"""Running models for the page: a question becomes a stream of batches, from waiting for weights to the finished record.

Functions take plain values and give plain values, so that they can be tested without a browser and called from
Gradio, from the API or from a worker process. What is asked beside a stream is in `desk.py`.
Knows the core, the room of models, the runs; nothing about Gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from urial.engines.pair import PairEngines
from urial.errors import SettingsError, UrialError
from urial.events import Done, Event, Failed
from urial.records import Comparison, SideName
from urial.request import Control
from urial.ui import asking, wire
from urial.ui.asking import Ask
from urial.ui.gpu import Perform, perform_here
from urial.ui.results import Results, pack
from urial.ui.room import Room, Status
from urial.ui.runs import Run, Runs
from urial.ui.tasks import AgainTask, CompareTask, GoOnTask, Task

WAIT_SECONDS = 0.4  # between two words about loading: also how long a visitor who left may hold a place
ANSWER_LIMIT = 4096  # tokens of an answer that the base is asked to continue

Feed = Iterator[str]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """What a run does once the models are there, and how its events become steps of the page."""

    ask: Ask
    task: Task
    steps: Callable[[list[Event], str], list[wire.Step]]  # events, the pair's note
    reusable: bool = False  # whether the same question may be answered with its record later


class Service:
    """What the page can run. One for each process."""

    def __init__(
        self,
        room: Room,
        placement: str = "",
        perform: Perform = perform_here,
        new_control: Callable[[], Control] = Control,
    ) -> None:
        """`placement` says in what precision and where models run, for the cache's keys."""
        self.room = room
        self.perform = perform
        self.runs = Runs(new_control)
        self.results = Results()
        self._placement = placement

    def key(self, ask: Ask) -> str:
        """The name under which the answer to this question is kept."""
        return asking.cache_key(ask, self.room.pair(ask.pair), self._placement)

    # Streams. A mistake comes as a `refuse` step, never as an exception.

    def compare(self, run_id: str, values: Values, visitor: str) -> Feed:
        """A whole comparison."""
        yield from self._run(run_id, visitor, lambda: self._compare_work(values))

    def again(self, run_id: str, values: Values, earlier_id: str, side: str, draw: int, visitor: str) -> Feed:
        """One side once more; the other stays as it was in the result `earlier_id`."""
        yield from self._run(run_id, visitor, lambda: self._again_work(values, earlier_id, side, draw))

    def go_on(self, run_id: str, values: Values, answer_ids: object, visitor: str) -> Feed:
        """The base writes on after the given beginning of an answer."""
        yield from self._run(run_id, visitor, lambda: self._branch_work(values, answer_ids))

    # What each of them does

    def _compare_work(self, values: Values) -> Work:
        ask = asking.parse(values)

        def steps(events: list[Event], note: str) -> list[wire.Step]:
            return wire.steps_of(events, lambda event: wire.reset(event, ask.query, ask.history, note), note)

        return Work(ask, CompareTask(asking.to_request(ask)), steps, reusable=True)

    def _again_work(self, values: Values, earlier_id: str, side: str, draw: int) -> Work:
        ask = asking.parse(values)
        earlier, name = self._earlier(earlier_id), side_name(side)

        def steps(events: list[Event], note: str) -> list[wire.Step]:
            return wire.steps_of(events, lambda event: wire.restart(event, name), note)

        return Work(ask, AgainTask(asking.once_more(ask, earlier, name, draw), name, earlier), steps)

    def _branch_work(self, values: Values, answer_ids: object) -> Work:
        ask, ids = asking.parse(values), answer_tokens(answer_ids)
        return Work(ask, GoOnTask(asking.to_request(ask), ids), lambda events, note: wire.branch_steps(events))

    def _earlier(self, result_id: str) -> Comparison:
        found = self.results.get(result_id)
        if found is None:
            raise SettingsError("This comparison is no longer kept here; press Compare to run it again.")
        return found.comparison()

    # How a run goes

    def _run(self, run_id: str, visitor: str, prepare: Callable[[], Work]) -> Feed:
        """Whatever happens, the run is closed and the engines are given back."""
        try:
            work = prepare()
            run = self.runs.open(run_id, visitor)
        except UrialError as error:
            yield wire.batch(str(run_id)[:64], 0, [["refuse", {"message": str(error)}]])
            return
        try:
            yield from self._until_ready(run, work.ask.pair)
            with self.room.lend(work.ask.pair) as engines:
                if engines is None:
                    yield run.send([["refuse", {"message": "Stopped before the models were ready."}]])
                else:
                    yield from self._forward(run, work, engines)
        except UrialError as error:
            yield run.send([["refuse", {"message": str(error)}]])
        finally:
            self.runs.close(run)

    def _until_ready(self, run: Run, pair: str) -> Feed:
        """Words about loading until the pair is there or the visitor stopped."""
        said: Status | None = None
        while not run.is_stopped and not self.room.wait(pair, WAIT_SECONDS):
            status = self.room.status(pair)
            if status != said:
                yield run.send([["say", {"message": status.message, "fraction": status.fraction}]])
                said = status

    def _forward(self, run: Run, work: Work, engines: PairEngines) -> Feed:
        message = engines.preparing or "Reading the prompt"
        yield run.send([["say", {"message": message, "fraction": None}]])
        events = self.perform(work.ask.pair, engines, work.task, run.control)
        failed = False
        try:
            for some in wire.gather(events):
                failed = failed or any(isinstance(event, Failed) for event in some)
                if isinstance(some[-1], Done):
                    self._keep(run, work, some[-1].comparison, reusable=work.reusable and not failed)
                yield run.send(work.steps(some, engines.note))
        finally:
            events.close()  # frees the memory of a comparison that nobody reads to its end

    def _keep(self, run: Run, work: Work, comparison: Comparison, *, reusable: bool) -> None:
        self.results.put(run.id, pack(comparison))
        if reusable:
            self.remember(work.ask, comparison)

    def remember(self, ask: Ask, comparison: Comparison) -> None:
        """Keep an answer for the same question; one that was cut short is not kept."""
        if is_whole(comparison):
            self.results.put(self.key(ask), pack(comparison))


def is_whole(comparison: Comparison) -> bool:
    """Whether both sides came to their own end and every token was scored: the same question would give the same."""
    sides_ended = all(side.stop_reason in ("stop", "length") for side in (comparison.base, comparison.aligned))
    count = len(comparison.aligned.token_ids)
    return sides_ended and all(len(shift.tokens) == count for shift in comparison.shift.values())


def side_name(side: str) -> SideName:
    """Raises SettingsError for anything but a side."""
    if side == "base" or side == "aligned":
        return side
    raise SettingsError(f"There is no side {side!r}; choose base or aligned.")


def answer_tokens(ids: object) -> tuple[int, ...]:
    """Token ids sent by a page. Raises SettingsError for anything else."""
    if not isinstance(ids, list) or not all(type(each) is int and each >= 0 for each in ids):
        raise SettingsError("The page sent no token ids to continue from; load the page again.")
    if len(ids) > ANSWER_LIMIT:
        raise SettingsError(f"The base continues after at most {ANSWER_LIMIT:,} tokens; choose an earlier one.")
    return tuple(ids)
