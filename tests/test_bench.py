"""The bench on tiny models: rivals find the same as we do, the tables hold what they say. Times prove nothing here."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests import weights_folders
from urial.bench import growth, vllm, workload
from urial.bench.measure import peak_rss_gb
from urial.cli import main
from urial.pairs import load_pairs

pytestmark = pytest.mark.slow

PAIRS = (
    "default: p\npairs:\n  - {{name: p, title: T, licence: x, base: {{folder: {base}}}, "
    "aligned: {{folder: {base}, adapter: {{folder: {adapter}}}}}}}\n"
)


@pytest.fixture
def models_file(tmp_path: Path) -> Path:
    base, adapter = weights_folders.save_model(tmp_path / "base"), tmp_path / "adapter"
    weights_folders.save_adapter(adapter, base)
    config = json.loads((base / "config.json").read_text())
    config["max_position_embeddings"] = 8192  # a URIAL prompt in bytes
    (base / "config.json").write_text(json.dumps(config))
    path = tmp_path / "models.yaml"
    path.write_text(PAIRS.format(base=base, adapter=adapter))
    return path


def bench(models: Path, *more: str) -> list[str]:
    return ["bench", "--models", str(models), "--device", "cpu", "--examples", "1", "--new-tokens", "12", *more]


def load(models: Path) -> workload.Workload:
    return workload.load(load_pairs(models).get("p"), device="cpu", dtype=None, examples=1, new_tokens=12)


def test_naive_finds_the_same_answers_and_the_same_ranks(models_file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(bench(models_file, "--against", "naive", "--json")) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["agreement"]["naive"] == {"aligned_tokens": 1.0, "base_tokens": 1.0, "ranks": 1.0}
    assert set(report["ratios"]) == {"comparison_vs_naive", "scoring_share", "first_token_urial_vs_bare"}
    assert 0.1 < report["peak_rss_gb"] <= peak_rss_gb()
    assert {name: len(seconds) for name, seconds in report["seconds"].items()} == {
        "ours": len(workload.QUERIES),
        "ours without scoring": len(workload.QUERIES),
        "naive": len(workload.QUERIES),
    }


def test_the_report_is_readable(models_file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(bench(models_file, "--against", "none")) == 0
    assert "12 new tokens a side" in capsys.readouterr().out


def test_a_profile_names_the_operators_of_a_step(models_file: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(bench(models_file, "--profile")) == 0
    assert "| aten::" in capsys.readouterr().out


def test_answers_grow_to_the_length_that_is_asked(models_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "ANSWERS", (4, 8))
    rows = list(growth.by_answer(load(models_file)))
    assert [row["tokens"] for row in rows] == [4, 8]
    assert all(row["record bytes a token"] > 0 for row in rows)


def test_prompts_grow_with_the_examples(models_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "EXAMPLES", (0, 1))
    bare, one = growth.by_prompt(load(models_file))
    assert one["prompt tokens"] > bare["prompt tokens"]


def test_a_wider_vocabulary_is_measured_without_a_model(models_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "VOCABULARIES", (500,))
    (row,) = growth.by_vocabulary(load(models_file))
    assert row["vocabulary"] == 500 and row["scoring ms a token"] > 0


def served(request: httpx.Request) -> httpx.Response:
    """What a vLLM server answers, in short."""
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "b", "parent": None}, {"id": "a", "parent": "b"}]})
    asked = json.loads(request.content)
    ids = [7 if asked["model"] == "a" else 5] * asked["max_tokens"]
    return httpx.Response(200, json={"choices": [{"token_ids": ids}]})


def test_vllm_is_asked_for_both_sides(models_file: Path) -> None:
    work = load(models_file)
    rival = vllm.Vllm(work, workload.endless_engines(work), "http://server", transport=httpx.MockTransport(served))
    found = rival.run("a question")
    assert (found.base, found.aligned) == ([5] * 12, [7] * 12)


@pytest.mark.parametrize("mistake", [["--against", "slow"], ["--against", "vllm"]])
def test_a_rival_that_cannot_run_is_one_sentence(
    models_file: Path, capsys: pytest.CaptureFixture, mistake: list[str]
) -> None:
    assert main(bench(models_file, *mistake)) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
