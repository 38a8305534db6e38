"""The command judge: keys, mistakes, files, kill -9, votes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge_server import JudgeServer, Seen, Status, Text, save_corpus
from tests.support.judging import BETTER, group, judge
from tests.support.paths import ROOT
from tests.support.workshop import Room, TurnedClock
from urial.cli.main import main
from urial.corpus.lines import read_lines
from urial.errors import RecordError
from urial.judge import summary
from urial.judge.store import JUDGEMENTS, REPLIES, Store
from urial.judge.votes import read as read_votes
from urial.records import Comparison
from urial.workshop import export, rooms
from urial.workshop.database import Database
from urial.workshop.material import of_comparison
from urial.workshop.rooms import NewItem


def test_the_key_is_sent_and_never_written_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("URIAL_JUDGE_KEY", "secret-key-123")
    save_corpus(tmp_path, BETTER[:2])
    echo = Status(400, text='{"error": {"message": "bad key secret-key-123"}}')
    told = Text('{"helpfulness": "secret-key-123"}')
    with JudgeServer(behaviours=[told, echo, echo, echo, echo]) as server:
        main(["judge", str(tmp_path), "--judge", server.url, "--model", "org/judge:1", "--json"])
    assert all(headers["Authorization"] == "Bearer secret-key-123" for headers in server.headers)
    said = capsys.readouterr()
    files = "".join(path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file())
    assert "secret-key-123" not in files + said.out + said.err and "[key]" in files


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_corpus(tmp_path, [*BETTER, ("p [2]", "q [2]")], tags=[{}] * 4 + [{"category": ["safety"]}])
    with JudgeServer() as server:
        command = ["judge", str(tmp_path), "--judge", server.url, "--model", "org/judge:1"]
        assert main([*command, "--dry-run"]) == 0 and server.bodies == []
        said = capsys.readouterr()
        assert "127.0.0.1" in said.err and "at most 10 calls" in said.err and "2,000,000" in said.err
        assert main([*command, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["schema"] == "urial.judged/1" and found["groups"][0]["questions"] == 5
        assert main(command) == 0 and len(server.bodies) == 10
    assert "length-controlled" in capsys.readouterr().out
    assert main(["judge", str(tmp_path), "--json"]) == 0  # the figures alone, without a judge
    capsys.readouterr()
    files = sorted(path.name for path in (tmp_path / "just_eval").iterdir())
    assert files == [f"urial.{s}.score_{m}.org-judge-1.json" for s in ("aligned", "base") for m in ("multi", "safety")]
    assert main(["judge", "--aggregate", str(tmp_path / "just_eval" / files[0]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"] == 4 and found["depth_mean"] == 3.75 and found["avg_lens"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--aggregate"),
        (["{d}"], "Nothing in"),
        (["{d}/none", "--judge", "http://x/v1", "--model", "m"], "records.jsonl"),
        (["{d}", "--judge", "http://x/v1"], "--model"),
        (["{d}", "--model", "m"], "--judge"),
        (["{d}", "--judge", "x", "--model", "m"], "--judge"),
        (["{d}", "--judge", "http://user:key@x/v1", "--model", "m"], "--judge"),
        (["{d}", "--judge", "http://x/v1", "--model", ""], "--model"),
        (["{d}", "--judge", "http://x/v1", "--model", "m", "--key-env", "sk-123"], "--key-env"),
        (["{d}", "--judge", "http://x/v1", "--model", "m", "--key-env", "NOT_SET_HERE"], "NOT_SET_HERE"),
        (["{d}", "--judge", "http://x/v1", "--model", "m", "--limit", "0"], "--limit"),
        (["{d}", "--judge", "http://x/v1", "--model", "m", "--at-once", "0"], "--at-once"),
        (["{d}", "--judge", "http://x/v1", "--model", "m", "--rubric", "vibes"], "vibes"),
        (["--aggregate", "{d}/none.json"], "none.json"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    if named not in ("records.jsonl",):
        save_corpus(tmp_path, BETTER[:1])
    assert main(["judge", *(word.replace("{d}", str(tmp_path)) for word in arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and named in said.err and "sk-123" not in said.err


@pytest.mark.parametrize(
    "change", [{"judge": None}, {"sides": {"base": 5}}, {"words": {}}, {"place": None}, {"tags": 1}]
)
def test_a_broken_judgement_is_one_line(
    change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_corpus(tmp_path, BETTER[:2])
    with JudgeServer() as server:
        judge(tmp_path, server)
    first, *rest = whole_lines(tmp_path / JUDGEMENTS)
    text = "\n".join([json.dumps({**json.loads(first), **change}), *rest, ""])
    (tmp_path / JUDGEMENTS).write_text(text, encoding="utf-8")
    assert main(["judge", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "delete judgements.jsonl" in said


def test_two_judges_in_one_folder_are_refused(tmp_path: Path) -> None:
    save_corpus(tmp_path, BETTER[:1])
    with Store(tmp_path), pytest.raises(Exception, match="Another judge"):
        Store(tmp_path)


def test_kill_9_loses_no_verdict_and_pays_none_twice(tmp_path: Path) -> None:
    """Killed again and again in the middle. What was kept is kept; only calls that were on their way are made again."""
    save_corpus(tmp_path, [(f"base {i} [2]", f"aligned {i} [4]") for i in range(24)])
    with JudgeServer(seconds=0.05) as server:
        command = [sys.executable, "-m", "urial", "judge", str(tmp_path), "--judge", server.url, "--model", "judge"]
        kept: list[str] = []
        for _ in range(2):
            before = len(server.answered)
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while len(server.answered) < before + 7 and process.poll() is None:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            now = whole_lines(tmp_path / REPLIES)
            assert now[: len(kept)] == kept  # no line lost or changed
            kept = now
        assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
        texts = Counter(Seen.of(body).parts["answer"] for body in server.bodies)
    lines = whole_lines(tmp_path / JUDGEMENTS)
    assert len({json.loads(line)["record"] for line in lines}) == len(lines) == 24
    keys = [json.loads(line)["key"] for line in whole_lines(tmp_path / REPLIES)]
    assert len(keys) == len(set(keys)) == 48
    assert len(texts) == 48 and sum(texts.values()) - 48 <= 2 * 4  # at most four were on their way at each kill
    assert group(tmp_path)["outcomes"]["overall"] == {"base": 0, "tie": 0, "aligned": 24, "n": 24}


def whole_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def test_a_torn_line_is_asked_for_again_and_nothing_else(tmp_path: Path) -> None:
    save_corpus(tmp_path, BETTER)
    with JudgeServer() as server:
        judge(tmp_path, server)
        for name in (REPLIES, JUDGEMENTS):
            data = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(data[:-20])
        outcome, _ = judge(tmp_path, server)
        assert outcome.judged == 1 and len(server.bodies) == 9
    assert group(tmp_path)["questions"] == 4


def voted(path: Path, comparison: Comparison, choices: list[str]) -> dict[str, Any]:
    """The export of a real class that voted on one comparison; choices name a side, tie or bad."""
    clock, database = TurnedClock(), Database(path)
    items = [NewItem("vote", "A vote", "Look.", of_comparison(comparison), {})]
    room = Room(database, rooms.open_room(database, "Class", items, clock), clock)
    tokens = [f"student-{number:032}" for number in range(len(choices))]
    for token in tokens:
        room.join(token)
    room.begin(0)
    for token, choice in zip(tokens, choices, strict=True):
        shown = room.student(token)["question"]
        letter = "a" if shown["a"] == getattr(comparison, choice, comparison.base).text.strip() else "b"
        room.answer(token, 0, choice=choice if choice in ("tie", "bad") else letter)
    return export.everything(database)


def test_votes_and_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class of four agrees with the judge twice; one found both bad, one saw it the other way."""
    save_corpus(tmp_path, BETTER)
    with JudgeServer() as server:
        judge(tmp_path, server)
    comparison = next(read_lines(tmp_path)).record
    path = tmp_path / "votes.json"
    found = voted(tmp_path / "class.sqlite", comparison, ["aligned", "aligned", "bad", "base"])
    path.write_text(json.dumps(found), encoding="utf-8")
    assert main(["judge", str(tmp_path), "--votes", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["groups"][0]["agreement"]
    assert found["questions"] == 1 and found["n"] == 4 and found["percent"] == 0.5
    assert found["percent_without_ties"] == pytest.approx(2 / 3) and -1 <= found["alpha"] <= 1
    assert summary(tmp_path)["groups"][0]["agreement"] == found, "the votes stay beside the corpus"
    assert summary(tmp_path, {})["groups"][0]["agreement"] is None


@pytest.mark.parametrize("changes", [{"schema": "x"}, {"rooms": 1}, {"rooms": [{"items": [{"query": "q"}]}]}])
def test_a_wrong_export_is_one_sentence(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "votes.json"
    path.write_text(json.dumps({"schema": "urial.workshop/1", "rooms": [], **changes}), encoding="utf-8")
    with pytest.raises(RecordError, match=r"votes\.json"):
        read_votes(path)
