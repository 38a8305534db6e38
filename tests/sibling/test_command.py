"""`python -m urial sibling`: from a base in a folder and a file of examples to an adapter, and its evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.sibling.test_training import some_examples
from tests.support import tiny
from urial.cli.main import main
from urial.sibling import sampling
from urial.sibling.examples import load_examples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]
FEW = ["--epochs", "1", "--rank", "2", "--alpha", "4", "--per-step", "2", "--device", "cpu"]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-base"
    model = tiny.model("gemma3")
    model.config.max_position_embeddings = 4096  # the URIAL prompt has many tokens where a tokenizer knows only bytes
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    lines = [{"topic": e.topic, "messages": e.chat()} for e in some_examples(5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_own_examples_and_base_become_an_adapter_that_can_be_evaluated(
    tmp_path: Path, base: Path, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train = ["sibling", "train", "--base-folder", str(base), "--examples", str(mine), "--out", str(run), *FEW]
    assert main(train) == 0
    config = json.loads((run / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "tiny-base" and config["r"] == 2
    assert [set(json.loads(x)) & {"loss"} for x in (run / "log.jsonl").read_text().splitlines()] == [{"loss"}] * 3
    out = tmp_path / "evaluation"
    told = [
        "--adapter",
        str(run / "adapter"),
        "--held-out",
        str(mine),
        "--out",
        str(out),
        "--limit",
        "3",
        "--new-tokens",
        "4",
    ]
    assert main(["sibling", "evaluate", "--base-folder", str(base), "--device", "cpu", *told, "--new-tokens", "4"]) == 0
    assert "| 3 queries, 0 of them harmful | wanted | sibling |" in capsys.readouterr().out
    [transcripts] = out.glob("*/transcripts.md")
    assert transcripts.read_text(encoding="utf-8").count("## mine-") == 3


def test_a_run_goes_on_from_another_adapter_with_other_examples(
    tmp_path: Path, base: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(mine.read_text(encoding="utf-8"), encoding="utf-8")
    common = ["sibling", "train", "--base-folder", str(base), "--examples", str(mine), str(other)]
    assert main([*common, "--out", str(tmp_path / "one"), *FEW]) == 0
    start = ["--start", str(tmp_path / "one" / "adapter")]
    assert main([*common, *start, "--out", str(tmp_path / "two"), *FEW]) == 0
    first, second = (json.loads((tmp_path / run / "log.jsonl").read_text().splitlines()[0]) for run in ("one", "two"))
    assert second["loss"] < first["loss"]
    half = ["--out", str(tmp_path / "two"), "--share", "0.5"]  # the run is done: only the blending is left
    trained = load_file(tmp_path / "two" / "adapter" / "adapter_model.safetensors")
    assert main([*common, *start, *half, *FEW]) == 0
    began, mixed = (load_file(tmp_path / run / "adapter" / "adapter_model.safetensors") for run in ("one", "two"))
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor.float(), (trained[name].float() + began[name].float()) / 2, atol=1e-3, rtol=0)
    capsys.readouterr()
    assert main([*common, *start, "--out", str(tmp_path / "three"), *FEW, "--rank", "3"]) == 2
    assert "another rank" in capsys.readouterr().err


def test_own_samples_become_examples_to_train_on(
    tmp_path: Path, base: Path, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "samples"
    common = ["--base-folder", str(base), "--device", "cpu"]
    train = ["sibling", "train", *common, "--examples", str(mine), "--out", str(run), *FEW[:-2]]
    assert main(train) == 0
    questions = tmp_path / "questions.jsonl"
    lines = [{"id": f"q{i}", "topic": "any", "query": text} for i, text in enumerate(("why", "the answer", "is here"))]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    monkeypatch.setattr(sampling, "is_wanted", lambda query, answer: bool(answer.text.strip()))
    ask = ["sibling", "sample", str(questions), *common, "--adapter", str(run / "adapter"), "--out", str(out)]
    assert main([*ask, "--samples", "2", "--temperature", "2", "--new-tokens", "4"]) == 0
    assert "of 3 questions have an answer" in capsys.readouterr().out
    assert {e.query for e in load_examples(out / "examples.jsonl")} <= {"why", "the answer", "is here"}
    before = (out / "examples.jsonl").read_text(encoding="utf-8")
    monkeypatch.setattr(sampling, "answers", lambda *a, **k: iter(pytest.fail("drawn again") if a[1] else ()))
    assert main([*ask, "--samples", "2", "--temperature", "2", "--new-tokens", "4"]) == 0
    assert (out / "examples.jsonl").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "--examples", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["train", "--start", "nowhere"], "nowhere"),
        (["train", "--share", "0.5"], "--share blends with the adapter of --start"),
        (["train", "--start", "x", "--share", "2"], "share must be above 0"),
        (["train", "--epochs", "0"], "epochs must be above zero"),
        (["train", "--epochs", "many"], "epochs"),
        (["evaluate", "--limit", "0"], "--limit, --at-once and --new-tokens must be 1 or more"),
        (["evaluate", "--held-out", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["evaluate", "--checked", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["sample", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["sample", "nowhere.jsonl", "--temperature", "0"], "--temperature above zero"),
        ([], "COMMAND"),
    ],
)
def test_mistakes_end_in_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sibling", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert says in complaint and complaint.count("\n") == 1
