"""Runs a comparison for each question and method, and writes each as one line as soon as it is there.

A key names all that decides an answer: question, pair, prompt, decoding. What is in the file is not run again, so a run
that was ended at any moment goes on behind the last whole line. Several questions run at once, in threads: an engine
that batches reads its weights once for all of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from urial.compare import run as compare
from urial.compare.events import Done, Failed
from urial.compare.request import Control, Request
from urial.corpus.lines import FILE, Line, Origin, cut_torn_end, read_lines, to_text
from urial.corpus.questions import Question
from urial.engines.pair import PairEngines
from urial.errors import Failure, RecordError, SettingsError, UrialError
from urial.prompts import Method
from urial.records import Comparison, PairInfo

LOCK = ".lock"
PARALLEL = 4  # questions at once

Said = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One line to be: a question by a method."""

    origin: Origin
    request: Request


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `found` lines were there before, `done` were made now, `failed` of these."""

    total: int
    found: int
    done: int
    failed: int
    seconds: float

    @property
    def per_minute(self) -> float | None:
        """Questions by one method a minute, of this run."""
        return 60 * self.done / self.seconds if self.done and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        return self.seconds / self.done * (self.total - self.found - self.done) if self.done else None


@dataclass(slots=True)
class Plan:
    """What is to be run into which folder. `template` carries contexts and decoding; its query is not used."""

    folder: Path
    questions: Sequence[Question]
    methods: Sequence[Method]
    template: Request
    parallel: int = PARALLEL
    again: bool = False  # whether questions that failed before are run once more
    said: Said = field(default=lambda _: None)

    def jobs(self, info: PairInfo) -> Iterator[Job]:
        """Question by question, each by all methods: what is cut short can be compared as far as it is."""
        for question in self.questions:
            for method in self.methods:
                request = replace(self.template, query=question.query, history=question.history, method=method)
                origin = Origin(
                    key=key_of(question, request, info), id=question.id, method=method.name, tags=question.tags
                )
                yield Job(origin, request)


def key_of(question: Question, request: Request, info: PairInfo) -> str:
    """Names everything that decides an answer."""
    settings = request.settings().model_dump(exclude={"retrieved"})
    history = [message.model_dump() for message in request.history]
    models = [info.name, info.base, info.aligned, info.dtype, info.quantization, info.revisions]
    parts = [question.id, request.query, history, request.method.identity, request.contexts, settings, models]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:32]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for one run alone. Raises SettingsError where it is taken or cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise SettingsError(f"Another run writes into {folder}; wait for it or choose another --out.") from error
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written ({error.strerror}); choose another --out.") from error
    try:
        yield
    finally:
        lock.release()


def run(plan: Plan, engines: PairEngines) -> Progress:
    """Make all lines that are not there yet. Raises UrialError; what was written stays, and the next run goes on."""
    with locked(plan.folder):
        path = plan.folder / FILE
        cut_torn_end(path)
        finished = known(plan.folder, engines.info, again=plan.again) if path.exists() else set()
        jobs = list(plan.jobs(engines.info))
        due = [job for job in jobs if job.origin.key not in finished]
        with opened(path) as file:
            return _work(plan, engines, due, len(jobs), file)


def known(folder: Path, info: PairInfo, *, again: bool) -> set[str]:
    """Keys of the lines that are there. Raises RecordError where they are of another pair."""
    keys: dict[str, bool] = {}
    for line in read_lines(folder):
        if line.record is not None:
            check_same_pair(folder, line.record.pair, info)
        keys[line.origin.key] = line.record is not None or not again
    return {key for key, holds in keys.items() if holds}


def check_same_pair(folder: Path, found: PairInfo, wanted: PairInfo) -> None:
    """Raises RecordError where a folder's answers are of other models: figures over both would mean nothing."""
    for name in ("name", "base", "aligned", "dtype", "quantization", "revisions"):
        if getattr(found, name) != getattr(wanted, name):
            raise RecordError(
                f"{folder} holds answers of the pair {found.name} ({name}: {getattr(found, name)}), and this is "
                f"{wanted.name} ({name}: {getattr(wanted, name)}); choose another --out."
            )


def opened(path: Path) -> io.FileIO:
    try:
        return io.FileIO(path, "a")  # without a buffer: what is written is the file's, whatever ends this process
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error


def _work(plan: Plan, engines: PairEngines, due: Sequence[Job], total: int, file: io.FileIO) -> Progress:
    """Threads take jobs and hand lines back; this thread alone writes. Whatever ends it stops them all."""
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    made: queue.SimpleQueue[Line | BaseException] = queue.SimpleQueue()
    control = Control()
    count = max(1, min(plan.parallel, len(due)))
    for job in [*due, *[None] * count]:
        waiting.put(job)
    threads = [
        threading.Thread(target=_take, args=(engines, waiting, made, control), name=f"corpus-{number}", daemon=True)
        for number in range(count)
    ]
    started, failed = time.perf_counter(), 0
    progress = Progress(total, total - len(due), 0, 0, 0.0)
    for thread in threads:
        thread.start()
    try:
        for done in range(1, len(due) + 1):
            line = made.get()
            if isinstance(line, BaseException):
                raise line
            write_line(file, line)
            failed += line.record is None
            progress = Progress(total, total - len(due), done, failed, time.perf_counter() - started)
            plan.said(progress)
    finally:
        _drain(waiting, control, threads)
    return progress


def _drain(waiting: queue.SimpleQueue[Job | None], control: Control, threads: Sequence[threading.Thread]) -> None:
    """No further job is begun, and those that run end within a step."""
    control.stop_all()
    while not waiting.empty():
        try:
            waiting.get_nowait()
        except queue.Empty:
            break
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()


def _take(
    engines: PairEngines,
    waiting: queue.SimpleQueue[Job | None],
    made: queue.SimpleQueue[Any],
    control: Control,
) -> None:
    while (job := waiting.get()) is not None:
        try:
            made.put(answer(engines, job, control))
        except BaseException as error:  # it belongs to the thread that writes
            made.put(error)
            return


def answer(engines: PairEngines, job: Job, control: Control) -> Line:
    """One line: the record, or the sentence that says why there is none."""
    failures: list[Failed] = []
    record: Comparison | None = None
    try:
        for event in compare.compare(engines, job.request, control):
            if isinstance(event, Failed):
                failures.append(event)
            elif isinstance(event, Done):
                record = event.comparison
    except UrialError as error:
        return Line(origin=job.origin, query=job.request.query, error=str(error))
    if record is not None and not _is_lost(record, failures):
        return Line(origin=job.origin, query=job.request.query, record=record)
    message = failures[0].message if failures else "The comparison ended without a result."
    return Line(origin=job.origin, query=job.request.query, error=message)


def _is_lost(record: Comparison, failures: Sequence[Failed]) -> bool:
    """Whether a side broke off, or no token was scored. A shift that reaches only so far is kept."""
    return any(event.name for event in failures) or not any(shift.tokens for shift in record.shift.values())


def write_line(file: io.FileIO, line: Line) -> None:
    """A whole line or none. Raises Failure where the disk takes no more."""
    before = os.fstat(file.fileno()).st_size
    rest = memoryview(to_text(line).encode())
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
        os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            file.truncate(before)
        raise Failure(
            f"{file.name} could not be written ({error.strerror}); all questions before this one are kept: free some "
            "space and run the same command again."
        ) from error
