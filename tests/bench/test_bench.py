"""The bench on tiny models: rivals find the same as we do, the tables hold what they say. Times prove nothing here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from gguf import GGUFReader
from transformers import LlamaConfig, LlamaForCausalLM

from tests.support import weights_folders
from tests.support.packable import adapted, gemma
from tests.support.tiny_families import decoder
from urial.bench import gpu, growth, llama_cpp, llama_cpp_job, shapes, vllm, workload
from urial.bench.gguf_adapter import write_adapter
from urial.bench.gguf_model import write_model
from urial.bench.measure import peak_rss_gb
from urial.cli.main import main
from urial.errors import SettingsError
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


def test_answers_grow_to_the_length_that_is_asked(models_file: Path) -> None:
    rows = list(growth.by_answer(load(models_file), (4, 8)))
    assert [row["tokens"] for row in rows] == [4, 8]
    assert all(row["record bytes a token"] > 0 for row in rows)


def test_prompts_grow_with_the_examples(models_file: Path) -> None:
    bare, one = growth.by_prompt(load(models_file), (0, 1))
    assert one["prompt tokens"] > bare["prompt tokens"]


def test_a_wider_vocabulary_is_measured_without_a_model(models_file: Path) -> None:
    (row,) = growth.by_vocabulary(load(models_file), (500,))
    assert row["vocabulary"] == 500 and row["scoring ms a token"] > 0


def shape(capsys: pytest.CaptureFixture, *more: str) -> list[dict]:
    """The rows for random weights of the tiny shape."""
    asked = ["bench", "--shape", "tiny", "--device", "cpu", "--examples", "1", "--new-tokens", "6", "--json", *more]
    assert main(asked) == 0
    told = capsys.readouterr()
    assert "say nothing about a GPU" in told.err
    return json.loads(told.out)


def test_a_step_is_held_against_generate_and_the_bandwidth(capsys: pytest.CaptureFixture) -> None:
    rows = shape(capsys, "--decode")
    eager, ours, ratio, limit, share, both, scoring, as_rows = (row["measured"] for row in rows)
    assert ratio == pytest.approx(eager / ours) and share == pytest.approx(100 * limit / ours)
    assert limit > 0 and both > 0 and scoring > 0 and as_rows > 0


def test_many_at_once_write_all_their_tokens(capsys: pytest.CaptureFixture) -> None:
    rows = shape(capsys, "--at-once", "3")
    assert [row["what"] for row in rows] == ["answers alone", "with scoring"]
    for row in rows:
        assert row["tokens a second"] == pytest.approx(2 * 3 * 6 / row["at once s"])
        assert row["times as fast"] == pytest.approx(row["one after another s"] / row["at once s"])


def test_all_of_a_gpus_measurements_go_into_a_folder(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    asked = ["--shape", "tiny", "--device", "cpu", "--examples", "1", "--new-tokens", "4", "--out", str(tmp_path / "a")]
    assert main(["bench", "--gpu", *asked]) == 0
    assert (tmp_path / "a" / "gpu.md").read_text() in capsys.readouterr().out
    report = json.loads((tmp_path / "a" / "gpu.json").read_text())
    assert report["device"] == "cpu: no GPU was measured"
    found = {row["what"]: row["measured"] for rows in report["parts"].values() for row in rows}
    assert "not measured" not in found, found
    assert found["ranks equal to float64"] == 100 and found["KL off float64 at most"] < 1e-5
    assert found["steps captured as CUDA graphs"] == 0  # there is none here
    assert all(found[name] > 0 for name in found if "at once" in name or "generate" in name)


def test_a_part_that_cannot_run_says_why_and_the_others_go_on() -> None:
    def broken() -> Iterator[gpu.Row]:
        yield {"what": "first", "measured": 1.0, "unit": ""}
        raise RuntimeError("out of\nmemory")

    assert gpu.part_rows(broken) == [{"what": "not measured", "measured": "out of memory", "unit": ""}]


def test_random_weights_run_against_rivals_too(capsys: pytest.CaptureFixture) -> None:
    report = shape(capsys, "--against", "naive")
    assert report["pair"] == "random-tiny" and report["agreement"]["naive"]["base_tokens"] == 1.0


def test_the_shape_of_8b_is_llamas() -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**shapes.SHAPES["8b"]))
    assert sum(weight.numel() for weight in model.parameters()) == 8_030_261_248


@pytest.mark.parametrize(("shape", "weights"), [("smollm2-135m", 134_515_008), ("qwen2.5-0.5b", 494_032_768)])
def test_the_shapes_for_processors_are_those_of_their_names(shape: str, weights: int) -> None:
    config_class, model_class = shapes.FAMILIES.get(shape, (LlamaConfig, LlamaForCausalLM))
    with torch.device("meta"):
        model = model_class(config_class(**shapes.SHAPES[shape]))
    assert sum(weight.numel() for weight in model.parameters()) == weights


@pytest.mark.parametrize(
    "mistake",
    [
        ["--shape", "8b", "--device", "cpu"],
        ["--shape", "tiny", "--device", "cpu", "--dtype", "nf4"],
        ["--shape", "tiny", "--device", "nowhere"],
        ["--shape", "tiny", "--device", "cpu", "--at-once", "0"],
        ["--shape", "tiny", "--device", "cpu", "--gpu"],
        ["--shape", "tiny", "--device", "cpu", "--out", "folder"],
    ],
)
def test_a_shape_that_cannot_run_is_one_sentence(capsys: pytest.CaptureFixture, mistake: list[str]) -> None:
    assert main(["bench", *mistake]) == 2
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.strip().splitlines()) == 1


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("name", ["SmolLM2", "Llama with biases", "Qwen2", "Qwen3"])
@torch.inference_mode()
def test_a_model_written_for_llama_cpp_is_read_back_to_the_last_bit(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """transformers reads the file by llama.cpp's rules: names, order of rotary pairs, settings."""
    model = decoder(name, dtype)
    write_model(model, tmp_path / "model.gguf")
    read = GGUFReader(tmp_path / "model.gguf")
    stored = {tensor.name: tensor for tensor in read.tensors}
    heads, width = model.config.num_attention_heads, model.config.hidden_size
    found = stored["blk.1.attn_q.weight"].data.view(np.uint8).reshape(-1)
    rows = torch.from_numpy(found.copy()).view(dtype).view(-1, width)
    if model.config.model_type == "llama":  # neighbours there are halves here
        rows = rows.view(heads, -1, 2, width).transpose(1, 2).reshape(-1, width)
    assert torch.equal(rows, model.model.layers[1].self_attn.q_proj.weight)
    assert len(stored) == len(list(model.named_parameters()))


@pytest.mark.parametrize("name", ["SmolLM2", "Llama with biases", "Qwen2", "Qwen3"])
@torch.inference_mode()
def test_llama_cpp_writes_what_transformers_writes(name: str, tmp_path: Path) -> None:
    """Its own reading of the file, greedy, in bfloat16; the vocabulary's placeholders are "w" and the id."""
    pytest.importorskip("xllamacpp", reason="pip install -r requirements-bench.txt")
    model, ids = decoder(name, torch.bfloat16), list(range(5, 25))
    write_model(model, tmp_path / "model.gguf")
    with llama_cpp.open_process(llama_cpp.Files((tmp_path / "model.gguf",), None), 1) as process:
        request = {"prompt": ids, "n_predict": 8, "temperature": 0, "ignore_eos": True}
        found = process.submit(llama_cpp.complete, request, 1).result()["choices"][0]["text"]
    given = torch.tensor([ids])
    options = {"do_sample": False, "max_new_tokens": 8, "min_new_tokens": 8, "eos_token_id": None}
    answer = model.float().generate(given, attention_mask=torch.ones_like(given), **options)[0, len(ids) :]
    assert found == "".join(f"w{token}" for token in answer.tolist())


@torch.inference_mode()
def test_llama_cpp_does_our_whole_job(tmp_path: Path) -> None:
    """Answers and ranks are those of transformers' own forward; identical model and context: nothing is shifted."""
    pytest.importorskip("xllamacpp", reason="pip install -r requirements-bench.txt")
    model, one, other, count = decoder("SmolLM2", torch.bfloat16), list(range(5, 45)), list(range(20, 60)), 8
    write_model(model, tmp_path / "model.gguf")
    files, spawn = llama_cpp.Files((tmp_path / "model.gguf",), None), get_context("spawn")
    contexts = {"zero_shot": other, "urial": one}
    with ProcessPoolExecutor(1, spawn, initializer=llama_cpp_job.open_sides, initargs=(files, 1)) as process:
        jobs = [process.submit(llama_cpp_job.do_job, one, other, contexts, count) for _ in range(2)]
        found, again = (job.result() for job in jobs)
    assert found == again  # the beginnings that it keeps change nothing
    full = model.float()
    options = {"do_sample": False, "max_new_tokens": count, "min_new_tokens": count, "eos_token_id": None}
    for prompt, answer in ((one, found.base), (other, found.aligned)):
        given = torch.tensor([prompt])
        assert answer == full.generate(given, attention_mask=torch.ones_like(given), **options)[0, 40:].tolist()
    assert found.ranks["zero_shot"] == [1] * count
    rows = full(torch.tensor([one + found.aligned])).logits[0, 39:-1]
    chosen = rows.gather(1, torch.tensor(found.aligned)[:, None])
    near = ((rows - chosen).abs() < 1e-3).sum(1)  # bfloat16 keys there: near ties may stand in another order
    wanted = 1 + (rows > chosen).sum(1)
    assert (torch.tensor(found.ranks["urial"]) - wanted).abs().le(near).all() and wanted.max() > 1


def test_the_rivals_statistics_are_the_definitions() -> None:
    base, aligned = torch.randn(2, 300, generator=torch.Generator().manual_seed(2)) * 3
    rank, kl = llama_cpp_job.statistics(base.numpy(), aligned.numpy(), 7)
    own, other = aligned.double().log_softmax(0), base.double().log_softmax(0)
    assert rank == 1 + int((base > base[7]).sum())
    assert kl == pytest.approx(float((own.exp() * (own - other)).sum()), rel=1e-5)
    assert llama_cpp_job.statistics(base.numpy(), base.numpy(), int(base.argmax())) == (1, 0.0)


def test_a_family_that_is_not_written_for_llama_cpp_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="A olmo2 model in torch"):
        write_model(decoder("OLMo2"), tmp_path / "model.gguf")


def test_low_rank_layers_are_written_as_a_gguf_adapter(tmp_path: Path) -> None:
    model, path = adapted(gemma("whole")), tmp_path / "adapter.gguf"
    write_adapter(model, path)
    read = {tensor.name: torch.from_numpy(tensor.data.copy()).float() for tensor in GGUFReader(path).tensors}
    layer = model.base_model.layers[2].mlp.down_proj
    torch.testing.assert_close(read["blk.2.ffn_down.weight.lora_a"], layer.down, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(read["blk.2.ffn_down.weight.lora_b"], layer.up, atol=1e-3, rtol=1e-3)
    assert len(read) == 2 * 5 * 4


def test_a_pair_without_an_adapter_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no adapter on its base"):
        write_adapter(gemma("whole"), tmp_path / "adapter.gguf")
