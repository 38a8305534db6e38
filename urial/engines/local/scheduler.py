"""One thread runs all models of this process: it owns them, and a request is a sequence that it moves on.

`step` is the decode loop. Whoever has tokens to read goes along, so two columns of one comparison, their scored
contexts and the answers of several visitors share each reading of the weights. A processor needs a single thread for
its cores besides: OpenMP gives each thread that calls it a team of its own, and as soon as all teams together have more
threads than there are cores, every team goes to sleep between two loops; a step took 1.7 times as long.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from urial.engines.local.answer import Answer
from urial.engines.local.runner import Chunk
from urial.engines.local.sequence import Sequence, SharedModel

log = logging.getLogger(__name__)

NAME = "urial-scheduler"

T = TypeVar("T")
Batch = list[tuple[Sequence, Chunk[Any]]]


class Scheduler:
    """The sequences of this process and the thread that moves them on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrived: list[Answer] = []
        self._jobs: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._is_woken = False
        self._held_back = 0  # callers that are about to submit more
        self._is_stopped = False
        self._cores = 0  # as many as who asked last may use
        self._thread: threading.Thread | None = None
        self._sequences: list[Sequence] = []
        self._last_model: SharedModel | None = None

    # From any thread

    def submit(self, answer: Answer) -> None:
        """Work on an answer from the next step on; the thread starts with the first one."""
        with self._changed:
            self._arrived.append(answer)
            self._start()
        self.wake()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Answers that are submitted within begin with the same step, so that a repeated run has the same batches."""
        with self._changed:
            self._held_back += 1
        try:
            yield
        finally:
            with self._changed:
                self._held_back -= 1
            self.wake()

    def call(self, job: Callable[[], T]) -> T:
        """Run other work on the models' cores, between two steps; returns what it returns, or raises."""
        done: Future[T] = Future()
        with self._changed:
            self._jobs.append((job, done))
            self._start()
        self.wake()
        return done.result()

    def _start(self) -> None:
        self._cores = torch.get_num_threads()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Look again for sequences that have become due, or that nobody wants any more."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def held(self, model: SharedModel) -> list[Sequence]:
        """The sequences of a model that are not finished."""
        with self._changed:
            arrived = [sequence for answer in self._arrived for sequence in answer.sequences]
        return [sequence for sequence in [*self._sequences, *arrived] if sequence.model is model]

    def stop(self) -> None:
        """End the thread after its step, at the end of the process."""
        self._is_stopped = True
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout=10)

    # In the scheduler's thread

    @torch.inference_mode()
    def _run(self) -> None:
        while self._wait_for_work():
            self.step()

    def step(self) -> None:
        """One forward pass over every sequence that has tokens to read; each moves on by the logits that it gets."""
        batch = self._next_batch()
        for sequence, chunk, rows in self._forward(batch):
            sequence.advance(chunk, rows)
        answers = list(dict.fromkeys(sequence.answer for sequence, _ in batch))
        for answer in answers:
            answer.advance()
        for answer in answers:
            answer.hand_out()

    def _wait_for_work(self) -> bool:
        """Returns once a sequence is due; False at the end of the process."""
        while not self._is_stopped:
            self._take_in()
            self._let_go()
            self._open_caches()
            if any(sequence.is_due for sequence in self._sequences):
                return True
            with self._changed:
                self._changed.wait_for(lambda: self._is_woken)
        return False

    def _take_in(self) -> None:
        with self._changed:
            self._is_woken = False
            arrived = [] if self._held_back else self._arrived
            self._arrived = self._arrived if self._held_back else []
            jobs, self._jobs = self._jobs, []
        for sequence in (sequence for answer in arrived for sequence in answer.sequences):
            sequence.model.prepare()
            sequence.model.runner.add_done_callback(lambda _: self.wake())
            self._sequences.append(sequence)
        if self._cores and torch.get_num_threads() != self._cores:
            torch.set_num_threads(self._cores)
        for job, done in jobs:
            try:
                done.set_result(job())
            except Exception as error:
                done.set_exception(error)

    def _let_go(self) -> None:
        """Sequences that are finished, or whose readers are gone, give their memory back."""
        for answer in {sequence.answer: None for sequence in self._sequences}:
            answer.heed_stop()
        finished = [sequence for sequence in self._sequences if not sequence.answer.needs(sequence)]
        for sequence in finished:
            self._sequences.remove(sequence)
            sequence.close()

    def _open_caches(self) -> None:
        """A context whose beginning another sequence is reading waits for it, so that it is read once."""
        for sequence in [each for each in self._sequences if each.cache is None and each.model.runner.done()]:
            if any(sequence.waits_for(other) for other in self._sequences):
                continue
            try:
                sequence.open()
            except Exception as error:  # no memory, or no runner: this sequence's trouble alone
                self._fail(sequence, error)

    def _next_batch(self) -> Batch:
        """Sequences of one model: all that decode, in turns, and prompts that are still to be read, in their order."""
        due = [sequence for sequence in self._sequences if sequence.is_due]
        model = next((each.model for each in due if each.model is not self._last_model), due[0].model)
        self._last_model = model
        mine = [each for each in due if each.model is model]
        reading = [each for each in mine if each.is_reading_context and each.unread > 1]
        decoding = [each for each in mine if each not in reading]
        most = (reading or decoding)[0].runner.limits.sequences
        decoding = decoding[: most - bool(reading)]  # a crowd that decodes leaves room for a prompt
        self._sequences = [*(each for each in self._sequences if each not in decoding), *decoding]  # they take turns
        return list(self._chunks([*decoding, *reading[: most - len(decoding)]]))

    def _chunks(self, sequences: list[Sequence]) -> Iterator[tuple[Sequence, Chunk[Any]]]:
        """The next tokens of each: one for whoever decodes, and so many of texts that are known."""
        left = sequences[0].runner.limits.tokens
        for sequence in sequences:
            is_known = sequence.unread > 1
            if is_known and left <= 0:
                continue
            chunk = sequence.next_chunk(max(1, left) if is_known else 1)
            left -= len(chunk.tokens) if is_known else 0
            yield sequence, chunk

    def _forward(self, batch: Batch) -> list[tuple[Sequence, Chunk[Any], torch.Tensor]]:
        """The rows of each sequence; a batch that fails is run one by one, and who fails alone is told."""
        try:
            rows = batch[0][0].runner.forward([chunk for _, chunk in batch])
            return [(sequence, chunk, found) for (sequence, chunk), found in zip(batch, rows, strict=True)]
        except Exception as error:
            if len(batch) > 1:
                return [found for each in batch for found in self._forward([each])]
            self._fail(batch[0][0], error)
            return []

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        sequence.answer.fail(sequence, error)
        self._sequences.remove(sequence)
        sequence.close()


_scheduler = Scheduler()


def scheduler() -> Scheduler:
    """The one of this process."""
    return _scheduler


def _renew() -> None:
    """Threads stay behind when a process forks; some hosts run each request in a fork."""
    global _scheduler
    _scheduler = Scheduler()


os.register_at_fork(after_in_child=_renew)
atexit.register(lambda: scheduler().stop())
