# ruff: noqa: E501  (a table of one mistake a line)
"""The command line: what scripts rely on, and one line with exit code 2 for every mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiny
from tests.support.paths import ROOT
from tests.support.records_builder import build
from urial import records, steering_records
from urial.cli.main import main

PAIRS_HEAD = "default: p\npairs:\n"
PAIR = "  - {name: p, title: T, licence: x, base: {hub: a/b}, aligned: {hub: a/c}}\n"


def record_text(**changes: object) -> str:
    data = json.loads(records.to_json(build()))
    data.update(changes)
    return json.dumps(data)


def without(key: str) -> str:
    data = json.loads(records.to_json(build()))
    del data[key]
    return json.dumps(data)


# name -> (files to write, arguments); {d} is the folder of the files
MISTAKES: dict[str, tuple[dict[str, str], list[str]]] = {
    "no command": ({}, []),
    "unknown command": ({}, ["comparee", "q"]),
    "unknown flag": ({}, ["compare", "q", "--tempature", "1"]),
    "compare without a query": ({}, ["compare"]),
    "empty query": ({}, ["compare", ""]),
    "dial beyond its end": ({}, ["dial", "q", "--at", "0,2"]),
    "dial at no number": ({}, ["dial", "q", "--at", "0,half"]),
    "dial of no kind": ({}, ["dial", "q", "--kind", "weights"]),
    "dial in no context": ({}, ["dial", "q", "--context", "all"]),
    "dial without a query": ({}, ["dial", ""]),
    "nudge without a rule": ({}, ["nudge", "q"]),
    "nudge by no rule": ({}, ["nudge", "q", "--rule", "rank=3"]),
    "blank query": ({}, ["compare", " \n\t "]),
    "query of 100,001 characters": ({}, ["compare", "x" * 100_001]),
    "prompt with an empty query": ({}, ["prompt", ""]),
    "unknown method": ({}, ["prompt", "q", "--method", "magic"]),
    "a number of examples there is not": ({}, ["prompt", "q", "--examples", "5"]),
    "examples below zero": ({}, ["prompt", "q", "--examples", "-1"]),
    "examples that are no number": ({}, ["prompt", "q", "--examples", "three"]),
    "method file without a file": ({}, ["prompt", "q", "--method", "file"]),
    "a prompt file with another method": ({"p.txt": "# Query:\n```\nq\n```\n"}, ["prompt", "q", "--method", "urial", "--prompt-file", "{d}/p.txt"]),
    "a prompt file that is not there": ({}, ["prompt", "q", "--prompt-file", "{d}/none.txt"]),
    "an empty prompt file": ({"p.txt": ""}, ["prompt", "q", "--prompt-file", "{d}/p.txt"]),
    "a prompt file without headings": ({"p.txt": "hello"}, ["prompt", "q", "--prompt-file", "{d}/p.txt"]),
    "a folder as prompt file": ({}, ["prompt", "q", "--prompt-file", "{d}"]),
    "a history that is not there": ({}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history that is no JSON": ({"h.json": "{"}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history that is no list": ({"h.json": "{}"}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history of an unknown role": ({"h.json": '[{"role": "system", "content": "x"}]'}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history that starts with an answer": ({"h.json": '[{"role": "assistant", "content": "x"}]'}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history that ends with a question": ({"h.json": '[{"role": "user", "content": "x"}]'}, ["prompt", "q", "--history", "{d}/h.json"]),
    "a history with a missing key": ({"h.json": '[{"role": "user"}]'}, ["prompt", "q", "--history", "{d}/h.json"]),
    "temperature below zero": ({}, ["compare", "q", "--temperature", "-1"]),
    "temperature that is no number": ({}, ["compare", "q", "--temperature", "hot"]),
    "temperature nan": ({}, ["compare", "q", "--temperature", "nan"]),
    "top-p of zero": ({}, ["compare", "q", "--top-p", "0"]),
    "no new tokens": ({}, ["compare", "q", "--max-new-tokens", "0"]),
    "half a token": ({}, ["compare", "q", "--max-new-tokens", "1.5"]),
    "a penalty of zero": ({}, ["compare", "q", "--base-penalty", "0"]),
    "a seed too large": ({}, ["compare", "q", "--seed", str(2**70)]),
    "an unknown context": ({}, ["compare", "q", "--contexts", "zero_shot,paper"]),
    "no context": ({}, ["compare", "q", "--contexts", ","]),
    "an unknown pair": ({}, ["compare", "q", "--pair", "gpt-9"]),
    "an unknown dtype": ({}, ["compare", "q", "--dtype", "float12"]),
    "an unknown device": ({}, ["compare", "q", "--device", "quantum"]),
    "a pairs file that is not there": ({}, ["pairs", "--models", "{d}/none.yaml"]),
    "a pairs file that is no YAML": ({"m.yaml": "a: [1"}, ["pairs", "--models", "{d}/m.yaml"]),
    "an empty pairs file": ({"m.yaml": ""}, ["pairs", "--models", "{d}/m.yaml"]),
    "a pairs file with a wrong key": ({"m.yaml": PAIRS_HEAD + PAIR + "colour: red\n"}, ["pairs", "--models", "{d}/m.yaml"]),
    "a pair without a base": ({"m.yaml": PAIRS_HEAD + "  - {name: p, title: T, licence: x, aligned: {hub: a/c}}\n"}, ["pairs", "--models", "{d}/m.yaml"]),
    "two pairs of one name": ({"m.yaml": PAIRS_HEAD + PAIR + PAIR}, ["pairs", "--models", "{d}/m.yaml"]),
    "a default that is no pair": ({"m.yaml": "default: q\npairs:\n" + PAIR}, ["pairs", "--models", "{d}/m.yaml"]),
    "a folder of weights that is not there": ({"m.yaml": PAIRS_HEAD + PAIR.replace("hub: a/b", "folder: none")}, ["compare", "q", "--models", "{d}/m.yaml"]),
    "score without an answer": ({}, ["score", "q"]),
    "an answer file that is not there": ({}, ["score", "q", "--answer-file", "{d}/a.txt"]),
    "report without a file to write": ({"r.json": record_text()}, ["report", "{d}/r.json"]),
    "a record that is not there": ({}, ["report", "{d}/r.json", "--html", "{d}/r.html"]),
    "a record that is no JSON": ({"r.json": "<html>"}, ["report", "{d}/r.json", "--html", "{d}/r.html"]),
    "a record of another schema": ({"r.json": record_text(schema="urial.comparison/9")}, ["report", "{d}/r.json", "--html", "{d}/r.html"]),
    "a record with a missing key": ({"r.json": without("aligned")}, ["report", "{d}/r.json", "--html", "{d}/r.html"]),
    "a record with an unknown key": ({"r.json": record_text(mood="good")}, ["report", "{d}/r.json", "--html", "{d}/r.html"]),
    "a report into a folder that is not there": ({"r.json": record_text()}, ["report", "{d}/r.json", "--html", "{d}/no/r.html"]),
    "an unknown rival": ({}, ["bench", "--against", "abacus"]),
    "sibling without a command": ({}, ["sibling"]),
    "gallery without a command": ({}, ["gallery"]),
    "gallery with a recording that is not in the list": ({}, ["gallery", "record", "--only", "nothing", "--out", "{d}"]),
}  # fmt: skip


def run(arguments: list[str], files: dict[str, str], folder: Path) -> int:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return main([argument.replace("{d}", str(folder)) for argument in arguments])


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_two(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, arguments = MISTAKES[name]
    assert run(arguments, files, tmp_path) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1 and len(output.err) > 15
    assert "Traceback" not in output.err and "pydantic" not in output.err


def test_there_are_at_least_forty_mistakes() -> None:
    assert len(MISTAKES) >= 40


def test_a_failure_that_nobody_caused_is_exit_code_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    record = tmp_path / "r.json"
    record.write_bytes(record_text().encode())
    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["report", str(record), "--html", str(tmp_path / "r.html")]) == 1
    assert "No space left" in capsys.readouterr().err


def test_prompt_prints_the_prompt_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompt", "Why do cats purr?", "--method", "zero_shot"]) == 0
    assert capsys.readouterr().out == "\n# Query:\n```\nWhy do cats purr?\n```\n\n# Answer:\n```\n"


def test_pairs_as_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [pair["name"] for pair in listed if pair["default"]] == ["gemma3-270m-embedded"]
    assert all(pair["reason"] for pair in listed if not pair["can_run"])


@pytest.mark.parametrize("schema", ["urial.dial/1", "urial.nudge/1"])
def test_report_refuses_steered_answers_and_names_the_command_for_comparisons(
    schema: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "steered.json"
    record.write_text(steered_text(schema), encoding="utf-8")
    assert main(["report", str(record), "--html", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and "Traceback" not in said
    assert f"is '{schema}'" in said and "as `urial compare QUERY --save FILE` writes it" in said
    assert not (tmp_path / "r.html").exists()


def steered_text(schema: str) -> str:
    """A record that the dial or nudging has written."""
    from urial.compare.dial import dial
    from urial.compare.nudge import nudge
    from urial.compare.nudge_rules import parse_rule
    from urial.compare.request import Request
    from urial.prompts import method

    request = Request(query="q", method=method("urial", 0), max_new_tokens=3)
    events = dial(tiny.pair(), request) if "dial" in schema else nudge(tiny.pair(), request, parse_rule("first:1"))
    return steering_records.to_json([*events][-1].record)


def test_report_needs_no_model(tmp_path: Path) -> None:
    record, page = tmp_path / "r.json", tmp_path / "r.html"
    record.write_text(record_text(), encoding="utf-8")
    arguments = ["report", str(record), "--html", str(page)]
    code = f"import sys; from urial.cli.main import main; print(main({arguments}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["0", "False"]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("command", [["compare", "Hi"], ["dial", "Hi"], ["nudge", "Hi", "--rule", "first:1"]])
def test_where_nothing_can_be_written_is_said_before_models_are_loaded(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even before the pair's name is looked at."""
    assert main([*command, "--pair", "nobody", "--save", str(tmp_path / "no" / "r.json")]) == 2
    assert "its folder is not there" in capsys.readouterr().err
    assert main([*command, "--pair", "nobody", "--save", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err


def test_a_name_that_is_too_long_is_no_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_text(records.to_json(build()), encoding="utf-8")
    assert main(["report", str(tmp_path / "r.json"), "--html", str(tmp_path / ("n" * 300))]) == 2
    said = capsys.readouterr().err
    assert "choose another file" in said and "space" not in said
