"""Answering the page: a question becomes a stream of batches, from waiting for weights to the finished record.

Every function takes plain values and gives plain values, so that it can be tested without a browser and called from
Gradio, from the API or from a worker process. Knows the core, the room of models, the runs; nothing about Gradio.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from urial import compare, render
from urial.request import Control
from urial.errors import UrialError
from urial.events import Done, Event, Failed
from urial.records import Comparison
from urial.ui import asking, wire
from urial.ui.asking import Ask
from urial.ui.results import Results, pack
from urial.ui.room import Room
from urial.ui.runs import Run, Runs, check_id

log = logging.getLogger(__name__)

WAIT_SECONDS = 0.4  # between two words about loading: also how long a visitor who left may hold a place

Feed = Iterator[str]
Source = Callable[[Any, Control], Iterator[Event]]  # engines, control -> events


class Service:
    """What the page can ask for. One for each process."""

    def __init__(self, room: Room, placement: str = "") -> None:
        self.room = room
        self.runs = Runs()
        self.results = Results()
        self._placement = placement

    # One comparison

    def compare(self, run_id: str, values: Mapping[str, Any], visitor: str) -> Feed:
        """Batches of a whole comparison. A mistake comes as a `refuse` step, never as an exception."""
        try:
            ask = asking.parse(values)
            request = asking.to_request(ask)
            run = self.runs.open(run_id, visitor)
        except UrialError as error:
            yield wire.batch(str(run_id)[:64], 0, [["refuse", {"message": str(error)}]])
            return
        yield from self._stream(run, ask, lambda engines, control: compare.compare(engines, request, control))

    def _stream(self, run: Run, ask: Ask, source: Source) -> Feed:
        """Run `source` on the pair's engines; whatever happens, the run is closed and the engines given back."""
        try:
            yield from self._until_ready(run, ask.pair)
            with self.room.lend(ask.pair) as engines:
                if engines is None:
                    yield self._send(run, [["refuse", {"message": "Stopped before the models were ready."}]])
                    return
                events = source(engines, run.control)
                yield from self._forward(run, ask, events, engines.note)
        except UrialError as error:
            yield self._send(run, [["refuse", {"message": str(error)}]])
        finally:
            self.runs.close(run)

    def _until_ready(self, run: Run, pair: str) -> Feed:
        """Words about loading until the pair is there or the visitor stopped."""
        said = None
        while not run.control.is_stopped("base") and not self.room.wait(pair, WAIT_SECONDS):
            status = self.room.status(pair)
            if status != said:
                yield self._send(run, [["say", {"message": status.message, "fraction": status.fraction}]])
                said = status

    def _forward(self, run: Run, ask: Ask, events: Iterator[Event], note: str) -> Feed:
        failed = False
        yield self._send(run, [["say", {"message": "Reading the prompt", "fraction": None}]])
        try:
            for some in wire.gather(events):
                steps = wire.steps_of(some, ask.query, ask.history, note)
                failed = failed or any(isinstance(event, Failed) for event in some)
                if isinstance(some[-1], Done):
                    self._keep(run, ask, some[-1].comparison, failed)
                    steps.append(["kept", {"id": run.id}])
                yield self._send(run, steps)
        finally:
            events.close()  # frees the memory of a comparison that nobody reads to its end

    def _send(self, run: Run, steps: list[wire.Step]) -> str:
        """The next batch; it stays with the run, so that the page can fetch it again."""
        text = wire.batch(run.id, len(run.batches), steps)
        run.batches.append(text)
        return text

    def _keep(self, run: Run, ask: Ask, comparison: Comparison, failed: bool) -> None:
        result = pack(comparison)
        self.results.put(run.id, result)
        if not failed and is_whole(comparison):
            self.results.put(asking.cache_key(ask, self.room.pair(ask.pair), self._placement), result)

    # Asked beside the stream; each answers at once with plain values

    def look_up(self, run_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """{"error"} for a question that cannot be run, {"hit"} for one that has been answered, else {"miss"}."""
        try:
            check_id(run_id)
            ask = asking.parse(values)
            pair = self.room.pair(ask.pair)
            found = self.results.get(asking.cache_key(ask, pair, self._placement))
        except UrialError as error:
            return {"error": str(error)}
        if found is None:
            self.room.start(ask.pair)
            return {"miss": True}
        self.results.put(run_id, found)
        data = render.payload(found.comparison(), pair.note)
        return {"hit": data, "computed_at": found.computed_at.isoformat(timespec="seconds")}

    def stop(self, run_id: str, side: str) -> dict[str, Any]:
        """Stop "base", "aligned" or "both"."""
        try:
            if side in ("base", "aligned"):
                self.runs.stop(run_id, lambda control: control.stop(side))  # type: ignore[arg-type]
            else:
                self.runs.stop(run_id, Control.stop_all)
        except UrialError as error:
            return {"error": str(error)}
        return {}

    def since(self, run_id: str, seq: int) -> dict[str, Any]:
        """The batches from number `seq` on, for a page that missed some; `known` is false for a forgotten run."""
        return {"batches": self.runs.since(run_id, seq), **self.runs.state(run_id)}

    def status(self, pair: str) -> dict[str, Any]:
        """Where a pair's models are: {"state", "message", "fraction"}; asking starts the loading."""
        try:
            self.room.start(pair)
            found = self.room.status(pair)
        except UrialError as error:
            return {"state": "failed", "message": str(error), "fraction": None}
        return {"state": found.state, "message": found.message, "fraction": found.fraction}


def is_whole(comparison: Comparison) -> bool:
    """Whether both sides came to their own end, so that the same question would give the same again."""
    return all(side.stop_reason in ("stop", "length") for side in (comparison.base, comparison.aligned))
