"""Running models for the page: a question becomes a stream of batches, from waiting for weights to the finished record.

Functions take plain values and give plain values, so that they can be tested without a browser and called from
Gradio, from the API or from a worker process. What is asked beside a stream is in `desk.py`.
Knows the core, the room of models, the runs; nothing about Gradio.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, get_args

from urial import compare as core
from urial.engines.pair import PairEngines
from urial.errors import SettingsError, UrialError
from urial.events import Done, Event
from urial.records import Comparison, SideName
from urial.request import Control
from urial.scored import log_failure, sentence
from urial.ui import asking, wire
from urial.ui.admission import Admission, Ticket
from urial.ui.asking import Ask
from urial.ui.cut import Cut
from urial.ui.flights import NOT_BEGUN, Flight, Flights
from urial.ui.gpu import Perform, perform_here
from urial.ui.results import Result, Results, pack
from urial.ui.room import Room
from urial.ui.runs import Run, Runs
from urial.ui.tasks import AgainTask, CompareTask, GoOnTask, Task

WAIT_SECONDS = 0.4  # between two words about waiting: also how long one that nobody wants may hold a place
LOOK_SECONDS = 0.1  # a visitor's stop is seen after at most that time
END_SECONDS = 10.0  # that a stopped flight is waited for
ANSWER_LIMIT = 4096  # tokens of an answer that the base is asked to continue

Feed = Iterator[str]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """What a run does once the models are there, and how its events become steps of the page."""

    ask: Ask
    task: Task
    steps: Callable[[list[Event], str], list[wire.Step]] = lambda events, note: []  # events, the pair's note
    reusable: bool = False  # whether the same question is answered with it too, now or later


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
        self.runs = Runs()
        self.flights = Flights(new_control)
        self.admission = Admission()
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

    # How a run goes: what one visitor sees

    def _run(self, run_id: str, visitor: str, prepare: Callable[[], Work]) -> Feed:
        """Whatever happens, the run is closed and its flight is left."""
        try:
            work = prepare()
            note = self.room.pair(work.ask.pair).note
            run = self.runs.open(run_id, visitor)
        except UrialError as error:
            yield wire.batch(str(run_id)[:64], 0, [["refuse", {"message": str(error)}]])
            return
        try:
            boarded = self._board(work)
            if isinstance(boarded, Result):
                self.results.put(run.id, boarded)
                yield run.send(wire.kept_steps(boarded.comparison(), note))
                return
            with closing(self._watch(run, boarded)) as watched:
                for before, events in watched:
                    if events and isinstance(events[-1], Done):
                        self.results.put(run.id, pack(events[-1].comparison))
                    yield run.send([*before, *work.steps(events, note)])
        except UrialError as error:
            yield run.send([["refuse", {"message": str(error)}]])
        finally:
            self.runs.close(run)

    def record(self, work: Work, visitor: str) -> Comparison:
        """The same without a page. Raises UrialError; a kept answer is given without running anything."""
        boarded = self._board(work)
        if isinstance(boarded, Result):
            return boarded.comparison()
        run = self.runs.open(secrets.token_hex(16), visitor)
        try:
            with closing(self._watch(run, boarded)) as watched:
                return core.result(event for _, events in watched for event in events)
        finally:
            self.runs.close(run)

    def _board(self, work: Work) -> Flight | Result:
        """What is kept of an equal question, or the flight that answers it."""
        key = self.key(work.ask) if work.reusable else None
        boarded, is_new = self.flights.board(key, lambda: self.results.get(str(key)))
        if isinstance(boarded, Flight) and is_new:
            context = copy_context()  # of its first visitor: some hosts lend a GPU to a request
            boarded.thread = threading.Thread(target=context.run, args=(self._fly, boarded, work), daemon=True)
            boarded.thread.start()
        return boarded

    def _watch(self, run: Run, flight: Flight) -> Iterator[tuple[list[wire.Step], list[Event]]]:
        """What the flight brings: steps before it begins, then events, all that this visitor has not stopped."""
        cut, seen, before = Cut(), 0, None
        try:
            while not cut.is_done:
                if ended := list(self._stops(run, flight, cut)):
                    yield [], ended
                    continue
                news = flight.news(seen, before, LOOK_SECONDS)
                steps = [news.before] if news.before is not None and news.before != before else []
                seen, before = seen + len(news.events), news.before
                events = list(cut.events(news.events))
                if steps or events:
                    yield steps, events
                if news.is_over and news.error:
                    raise UrialError(news.error)
                if news.is_over:
                    return
        finally:
            if self.flights.leave(flight) and flight.thread is not None:
                flight.thread.join(END_SECONDS)  # what it held is given back before its visitor goes

    def _stops(self, run: Run, flight: Flight, cut: Cut) -> Iterator[Event]:
        """Pass on what this visitor has stopped; where others look on, it ends for this one only."""
        for side in get_args(SideName):
            if run.control.is_stopped(side) and not self.flights.stop(flight, side):
                if run.is_stopped and not flight.began:
                    raise UrialError(NOT_BEGUN)
                yield from cut.stop(side, time.monotonic() - flight.began)

    # How a flight goes: in a thread of its own, for all who wait for it

    def _fly(self, flight: Flight, work: Work) -> None:
        """Whatever happens, it ends, its place is free again and the engines are given back."""
        ticket, error = None, NOT_BEGUN
        try:
            ticket = self.admission.enter()
            was_ready = self.room.status(work.ask.pair).state == "ready"
            is_waiting = self._has_place(flight, ticket)
            while is_waiting and self._has_models(flight, work.ask.pair):
                with self.room.lend(work.ask.pair) as engines:
                    if engines is None:
                        continue  # exchanged for another pair in this very moment: they are loaded again
                    self._forward(flight, work, engines)
                    is_waiting, error = False, ""
            ticket.leave(counts=was_ready and not flight.is_stopped and not error)
        except UrialError as failure:
            error = str(failure)
        except Exception as failure:  # nobody else sees what this thread meets
            log_failure("a comparison", failure)
            error = sentence(failure)
        finally:
            if ticket is not None:
                ticket.leave()
            self.flights.land(flight)
            flight.end(error)

    def _has_place(self, flight: Flight, ticket: Ticket) -> bool:
        """Wait in line and say where; False where the flight is stopped before its turn."""
        while not flight.is_stopped:
            if (position := ticket.position) is not None:
                flight.say(wire.queue_step(position))
            if ticket.wait(WAIT_SECONDS):
                return not flight.is_stopped
        return False

    def _has_models(self, flight: Flight, pair: str) -> bool:
        """Words about loading until the pair is there; False where the flight is stopped before."""
        while not flight.is_stopped:
            if self.room.wait(pair, WAIT_SECONDS):
                return True
            status = self.room.status(pair)
            flight.say(["say", {"message": status.message, "fraction": status.fraction}])
        return False

    def _forward(self, flight: Flight, work: Work, engines: PairEngines) -> None:
        message = engines.preparing or "Reading the prompt"
        flight.say(["say", {"message": message, "fraction": None}])
        events = self.perform(work.ask.pair, engines, work.task, flight.control)
        try:
            for some in wire.gather(events):
                if work.reusable and isinstance(some[-1], Done):
                    self.remember(work.ask, some[-1].comparison)
                flight.add(some)
        finally:
            events.close()  # frees the memory of a comparison that is not read to its end

    def remember(self, ask: Ask, comparison: Comparison) -> None:
        """Keep an answer for the same question; one that was cut short is not kept."""
        if is_whole(comparison):
            self.results.put(self.key(ask), pack(comparison))


def is_whole(comparison: Comparison) -> bool:
    """Whether both sides came to their own end and every token was scored: the same question would give the same."""
    if comparison.problems:
        return False
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
