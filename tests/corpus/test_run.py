"""The runner: one line for each question and method, resumed after anything, failures counted, folders guarded."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.corpus_killed import QUESTIONS, plan
from tests.support.paths import ROOT
from urial import records
from urial.compare.request import Request
from urial.compare.run import compare, result
from urial.corpus import run as runner
from urial.corpus.lines import FILE, read_lines
from urial.corpus.questions import Question
from urial.corpus.run import Plan, Progress, locked, run
from urial.errors import Failure, RecordError, SettingsError
from urial.prompts import method

TIMES = ("seconds", "first_token_seconds", "tokens_per_second")


def small(folder: Path, count: int = 3, methods: tuple[str, ...] = ("zero_shot",), **more: object) -> Plan:
    found = [method(name) for name in methods]
    questions = [Question(f"q{n}", f"What is {n}?", (), {"topic": ["sums"]}) for n in range(count)]
    return Plan(folder, questions, found, Request("x", found[0], max_new_tokens=8), **more)


def meant(record: records.Comparison) -> dict:
    """All but times, with numbers as far as they mean something: a torch sum's last digits depend on who is beside."""

    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items() if k not in TIMES}
        if isinstance(value, list | tuple):
            return [rounded(one) for one in value]
        return pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value

    return rounded(record.model_dump())


def test_each_line_is_the_comparison_that_the_question_gives_alone(tmp_path: Path) -> None:
    pair = tiny.pair()
    said: list[Progress] = []
    progress = run(small(tmp_path, 4, ("zero_shot", "icil"), parallel=3, said=said.append), pair)
    lines = list(read_lines(tmp_path))
    assert (progress.total, progress.done, progress.failed, len(lines)) == (8, 8, 0, 8)
    assert {(line.origin.id, line.origin.method) for line in lines} == {
        (f"q{n}", name) for n in range(4) for name in ("zero_shot", "icil")
    }
    for line in lines:
        alone = result(compare(pair, Request(line.query, method(line.origin.method), max_new_tokens=8)))
        assert meant(line.record) == meant(alone)
        assert line.origin.tags == {"topic": ["sums"]}
    assert [one.done for one in said] == list(range(1, 9)) and said[-1].seconds_left == 0


def test_a_second_run_makes_only_what_is_missing(tmp_path: Path) -> None:
    pair = tiny.pair()
    run(small(tmp_path, 2), pair)
    before = (tmp_path / FILE).read_bytes()
    progress = run(small(tmp_path, 3), pair)
    assert (progress.found, progress.done) == (2, 1)
    assert (tmp_path / FILE).read_bytes().startswith(before)
    assert run(small(tmp_path, 3), pair).done == 0
    longer = small(tmp_path, 1)
    longer.template = replace(longer.template, max_new_tokens=9)
    assert run(longer, pair).done == 1  # other settings are another line


def test_a_failed_question_is_a_line_and_can_be_run_again(tmp_path: Path) -> None:
    pair = tiny.pair()
    bad = small(tmp_path, 2)
    bad.questions = [*bad.questions, Question("long", "word " * 3000)]
    progress = run(bad, pair)
    assert (progress.done, progress.failed) == (3, 1)
    (failed,) = [line for line in read_lines(tmp_path) if line.error]
    assert (failed.origin.id == "long" and "fit" in failed.error) or "tokens" in failed.error
    assert run(bad, pair).done == 0
    bad.again = True
    assert run(bad, pair).done == 1


class Breaking:
    """Pieces whose device goes away behind the first."""

    def __init__(self, pieces) -> None:
        self._pieces, self._given = pieces, 0

    def __getattr__(self, name: str):
        return getattr(self._pieces, name)

    def __iter__(self):
        return self

    def __next__(self):
        self._given += 1
        if self._given > 1:
            raise RuntimeError("CUDA error: the device went away")
        return next(self._pieces)


def test_a_failed_side_fails_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny.pair()
    whole = pair.aligned.generate

    def breaks(self, *arguments):
        pieces = whole(*arguments) if self is pair.aligned else usual(self, *arguments)
        return Breaking(pieces) if self is pair.aligned else pieces

    usual = type(pair.aligned).generate
    monkeypatch.setattr(type(pair.aligned), "generate", breaks)
    progress = run(small(tmp_path, 1), pair)
    (line,) = read_lines(tmp_path)
    assert progress.failed == 1 and line.record is None and line.error


def test_killed_twenty_times_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.corpus_killed", str(tmp_path), "20", "7"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 20 and found == sorted(found), "a run took lines away"
    assert sum(after > before for before, after in pairwise(found)) >= 5, "the kills hit nothing"
    keys = [line.origin.key for line in read_lines(tmp_path)]
    expected = [job.origin.key for job in plan(tmp_path).jobs(tiny.pair().info)]
    assert sorted(keys) == sorted(expected) and len(keys) == QUESTIONS


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(SettingsError, match="Another run"):
        run(small(tmp_path, 1), tiny.pair())
    assert run(small(tmp_path, 1), tiny.pair()).done == 1


def test_a_folder_of_another_pair_is_refused_and_kept(tmp_path: Path) -> None:
    run(small(tmp_path, 1), tiny.pair())
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(RecordError, match="holds answers of the pair"):
        run(small(tmp_path, 2), tiny.pair(seeds=(0, 2)))
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match=r"cannot be written.*--out"):
        run(small(tmp_path / "file" / "x", 1), tiny.pair())


def test_a_full_disk_keeps_all_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes no byte; here the file takes half of the third line first, as a disk does."""
    pair = tiny.pair()
    taken = []
    whole = runner.to_text

    class Full(runner.io.FileIO):
        def write(self, data):
            if len(taken) == 2:
                taken.append(super().write(bytes(data)[: len(data) // 2]))
                return taken[-1]
            if len(taken) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken.append(super().write(data))
            return taken[-1]

    with monkeypatch.context() as patched:
        patched.setattr(runner, "opened", lambda path: Full(path, "a"))
        with pytest.raises(Failure, match=r"No space left.*run the same command again"):
            run(small(tmp_path, 6), pair)
    assert threading.active_count() < 20 and whole is runner.to_text
    text = (tmp_path / FILE).read_text(encoding="utf-8")
    assert text.count("\n") == 2 and text.endswith("\n")
    assert run(small(tmp_path, 6), pair).done == 4


def test_dev_full_is_one_sentence() -> None:
    line = next(iter([runner.Line(origin=runner.Origin(key="k", id="i", method="m"), query="q", error="e")]))
    with runner.io.FileIO("/dev/full", "w") as file, pytest.raises(Failure, match="No space left"):
        runner.write_line(file, line)


def test_an_interrupt_stops_all_threads(tmp_path: Path) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(tmp_path, 6, said=interrupt), tiny.pair())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("corpus-")]
    assert len(list(read_lines(tmp_path))) == 1
