"""Running models for the page: a question becomes a stream of batches, from waiting for weights to the finished record.

Functions take plain values and give plain values, so that they can be tested without a browser and called from
Gradio, from the API or from a worker process. What a run does is made in `work.py` and `steering.py`; what is asked
beside a stream is in `server_functions.py`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from contextvars import copy_context
from typing import Any, cast, get_args

from urial.compare import run as core
from urial.compare.events import Done, Event
from urial.compare.live_scoring import log_failure, sentence
from urial.compare.request import Control
from urial.engines.pair import PairEngines
from urial.errors import SettingsError, UrialError
from urial.judge.guard_now import Guard
from urial.records import Comparison, SideName
from urial.ui import asking, page_steps
from urial.ui.admission import Admission, Ticket
from urial.ui.asking import Ask
from urial.ui.cut import Cut
from urial.ui.model_pool import ModelPool
from urial.ui.result_cache import Result, Results, pack
from urial.ui.runs import Run, Runs
from urial.ui.shared_runs import NOT_BEGUN, SharedRun, SharedRuns
from urial.ui.work import Work, again_work, branch_work, compare_work, ladder_work
from urial.ui.zero_gpu import Perform, perform_here

WAIT_SECONDS = 0.4  # between two words about waiting: also how long one that nobody wants may hold a place
LOOK_SECONDS = 0.1  # a visitor's stop is seen after at most that time
END_SECONDS = 10.0  # that a stopped shared run is waited for

Feed = Iterator[str]
Values = Mapping[str, Any]


class Service:
    """What the page can run. One for each process."""

    def __init__(
        self,
        models: ModelPool,
        placement: str = "",
        perform: Perform = perform_here,
        new_control: Callable[[], Control] = Control,
        guard: Guard | None = None,
    ) -> None:
        """`placement` says in what precision and where models run, for the cache's keys; `guard` labels answers."""
        self.models = models
        self.perform = perform
        self.runs = Runs()
        self.shared_runs = SharedRuns(new_control)
        self.admission = Admission()
        self.results = Results()
        self.guard = guard
        self._placement = placement

    def key(self, ask: Ask) -> str:
        """The name under which the answer to this question is kept."""
        return asking.cache_key(ask, self.models.pair(ask.pair), self._placement)

    # Streams. A mistake comes as a `refuse` step, never as an exception.

    def compare(self, run_id: str, values: Values, visitor: str) -> Feed:
        """A whole comparison."""
        yield from self._run(run_id, visitor, lambda: compare_work(asking.parse(values)))

    def again(self, run_id: str, values: Values, earlier_id: str, side: str, draw: int, visitor: str) -> Feed:
        """One side once more; the other stays as it was in the result `earlier_id`."""
        yield from self._run(
            run_id, visitor, lambda: again_work(asking.parse(values), self._earlier(earlier_id), side, draw)
        )

    def go_on(self, run_id: str, values: Values, answer_ids: object, visitor: str) -> Feed:
        """The base writes on after the given beginning of an answer."""
        yield from self._run(run_id, visitor, lambda: branch_work(asking.parse(values), answer_ids))

    def steer(self, run_id: str, prepare: Callable[[], Work], visitor: str) -> Feed:
        """The dial or nudging; `prepare` raises UrialError for what cannot be asked (see `steering.py`)."""
        yield from self._run(run_id, visitor, prepare)

    def ladder(self, run_id: str, values: Values, earlier_id: str, visitor: str) -> Feed:
        """The aligned answer of the result `earlier_id` under every prompt; rung n is kept as `{run_id}/{n}`."""

        def keep(rung: int, record: Comparison) -> None:
            self.results.put(f"{run_id}/{rung}", pack(record))

        yield from self._run(
            run_id, visitor, lambda: ladder_work(asking.parse(values), self._earlier(earlier_id), keep)
        )

    # What is kept

    def remember(self, ask: Ask, comparison: Comparison) -> None:
        """Keep an answer for the same question; one that was cut short is not kept."""
        if is_whole(comparison):
            self.results.put(self.key(ask), pack(comparison))

    def kept(self, result_id: str) -> Comparison | None:
        """None where it is no longer kept here."""
        found = self.results.get(result_id)
        return None if found is None else found.comparison()

    def _earlier(self, result_id: str) -> Comparison:
        found = self.kept(result_id)
        if found is None:
            raise SettingsError("This comparison is no longer kept here; press Compare to run it again.")
        return found

    # How a run goes: what one visitor sees

    def _run(self, run_id: str, visitor: str, prepare: Callable[[], Work]) -> Feed:
        """Whatever happens, the run is closed and its shared run is left."""
        try:
            work = prepare()
            note = self.models.pair(work.ask.pair).note
            run = self.runs.open(run_id, visitor)
        except UrialError as error:
            yield page_steps.batch(str(run_id)[:64], 0, [["refuse", {"message": str(error)}]])
            return
        try:
            if run.is_stopped:
                raise UrialError(NOT_BEGUN)
            joined = self._join(work)
            if isinstance(joined, Result):
                self.results.put(run.id, joined)
                yield run.send(page_steps.kept_steps(joined.comparison(), note))
                return
            with closing(self._watch(run, joined)) as watched:
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
        return core.result(event for events in self.events(work, visitor) for event in events)

    def events(self, work: Work, visitor: str) -> Iterator[list[Event]]:
        """What a program reads instead of a page: events as they come. Raises UrialError."""
        joined = self._join(work)
        if isinstance(joined, Result):
            yield [Done(joined.comparison())]
            return
        run = self.runs.open(secrets.token_hex(16), visitor)
        try:
            with closing(self._watch(run, joined)) as watched:
                yield from (events for _, events in watched)
        finally:
            self.runs.close(run)

    def _join(self, work: Work) -> SharedRun | Result:
        """What is kept of an equal question, or the shared run that answers it."""
        key = self.key(work.ask) if work.reusable else None
        joined, is_new = self.shared_runs.join(key, lambda: self.results.get(str(key)))
        if isinstance(joined, SharedRun) and is_new:
            context = copy_context()  # of its first visitor: some hosts lend a GPU to a request
            joined.thread = threading.Thread(target=context.run, args=(self._run_shared, joined, work), daemon=True)
            joined.thread.start()
        return joined

    def _watch(self, run: Run, shared: SharedRun) -> Generator[tuple[list[page_steps.Step], list[Event]]]:
        """What the shared run brings: steps before it begins, then events, all that this visitor has not stopped."""
        cut, seen, before = Cut(), 0, None
        try:
            while not cut.is_done:
                if ended := list(self._stops(run, shared, cut)):
                    yield [], ended
                    continue
                update = shared.update(seen, before, LOOK_SECONDS)
                steps = [update.before] if update.before is not None and update.before != before else []
                seen, before = seen + len(update.events), update.before
                events = list(cut.events(update.events))
                if steps or events:
                    yield steps, events
                if update.is_over and update.error:
                    raise UrialError(update.error)
                if update.is_over:
                    return
        finally:
            if self.shared_runs.leave(shared) and shared.thread is not None:
                shared.thread.join(END_SECONDS)  # what it held is given back before its visitor goes

    def _stops(self, run: Run, shared: SharedRun, cut: Cut) -> Iterator[Event]:
        """Pass on what this visitor has stopped; where others look on, it ends for this one only."""
        for side in get_args(SideName):
            if run.control.is_stopped(side) and not self.shared_runs.stop(shared, side):
                if run.is_stopped and not shared.began:
                    raise UrialError(NOT_BEGUN)
                yield from cut.stop(side, time.monotonic() - shared.began)

    # How a shared run goes: in a thread of its own, for all who wait for it

    def _run_shared(self, shared: SharedRun, work: Work) -> None:
        """Whatever happens, it ends, its place is free again and the engines are given back."""
        ticket, error = None, NOT_BEGUN
        try:
            ticket = self.admission.enter()
            was_ready = self.models.status(work.ask.pair).state == "ready"
            is_waiting = self._has_place(shared, ticket)
            while is_waiting and self._has_models(shared, work.ask.pair):
                with self.models.lend(work.ask.pair) as engines:
                    if engines is None:
                        continue  # exchanged for another pair in this very moment: they are loaded again
                    self._forward(shared, work, engines)
                    is_waiting, error = False, ""
            ticket.leave(counts=was_ready and not shared.is_stopped and not error)
        except UrialError as failure:
            error = str(failure)
        except Exception as failure:  # nobody else sees what this thread meets
            log_failure("a comparison", failure)
            error = sentence(failure)
        finally:
            if ticket is not None:
                ticket.leave()
            self.shared_runs.finish(shared)
            shared.end(error)

    def _has_place(self, shared: SharedRun, ticket: Ticket) -> bool:
        """Wait in line and say where; False where the run is stopped before its turn."""
        while not shared.is_stopped:
            if (position := ticket.position) is not None:
                shared.say(page_steps.queue_step(position))
            if ticket.wait(WAIT_SECONDS):
                return not shared.is_stopped
        return False

    def _has_models(self, shared: SharedRun, pair: str) -> bool:
        """Words about loading until the pair is there; False where the run is stopped before."""
        while not shared.is_stopped:
            if self.models.wait(pair, WAIT_SECONDS):
                return True
            status = self.models.status(pair)
            shared.say(["say", {"message": status.message, "fraction": status.fraction}])
        return False

    def _forward(self, shared: SharedRun, work: Work, engines: PairEngines) -> None:
        message = engines.preparing or work.opening
        shared.say(["say", {"message": message, "fraction": None}])
        events = self.perform(work.ask.pair, engines, work.task, shared.control)
        try:
            for some in page_steps.gather(cast(Iterator[Event], events)):  # or those of a steering task
                if work.reusable and isinstance(some[-1], Done):
                    self.remember(work.ask, some[-1].comparison)
                shared.add(some)
        finally:
            events.close()  # frees the memory of a comparison that is not read to its end


def is_whole(comparison: Comparison) -> bool:
    """Whether both sides came to their own end and every token was scored: the same question would give the same."""
    if comparison.problems:
        return False
    sides_ended = all(side.stop_reason in ("stop", "length") for side in (comparison.base, comparison.aligned))
    count = len(comparison.aligned.token_ids)
    return sides_ended and all(len(shift.tokens) == count for shift in comparison.shift.values())
