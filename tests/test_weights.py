"""Loading models and pairs from folders: tiny random models, real files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from tests import tiny
from tests.weights_folders import bytes_held, logits, save_adapter, save_model, sentence
from urial.errors import SettingsError, WeightsError, WeightsMissing
from urial.pairs import AdapterSpec, ModelSpec
from urial.weights import load_model, load_pair_models, missing_reason, terminal_bar
from urial.weights.sources import fingerprint


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return save_model(tmp_path / "llama")


# Folders


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_a_folder_loads_as_it_was_saved(family: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, family)
    loaded = load_model(ModelSpec(folder=str(folder)), dtype="float32")
    assert torch.equal(logits(loaded.model), logits(tiny.model(family)))
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.description == f"{folder.parent.name}/{folder.name}" and loaded.revision == fingerprint(folder)
    assert loaded.adapter_name is None and loaded.end_ids == {1, 3}


def test_dtype_is_obeyed(llama: Path) -> None:
    loaded = load_model(ModelSpec(folder=str(llama)), dtype="bfloat16")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}


def test_the_revision_of_a_folder_follows_its_content(llama: Path) -> None:
    before = fingerprint(llama)
    tiny.model("llama", seed=5).save_pretrained(llama)
    assert fingerprint(llama) != before


def test_the_closing_mark_of_the_template_ends_a_turn(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": 1}))
    end = tiny.tokenizer().convert_tokens_to_ids("<end>")
    assert load_model(ModelSpec(folder=str(folder)), dtype="float32").end_ids == {1, end}


def test_a_base_without_template_ends_at_its_end_token(tmp_path: Path) -> None:
    folder = save_model(tmp_path, template=False)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": 1}))
    loaded = load_model(ModelSpec(folder=str(folder)), dtype="float32")
    assert loaded.end_ids == {1} and loaded.tokenizer.chat_template is None


# Pairs


def test_two_folders_make_a_pair_that_shares_nothing(tmp_path: Path) -> None:
    base, aligned = save_model(tmp_path / "a", seed=0, template=False), save_model(tmp_path / "b", seed=1)
    pair = load_pair_models(ModelSpec(folder=str(base)), ModelSpec(folder=str(aligned)), dtype="float32")
    assert not pair.shares_weights
    assert bytes_held(pair.base.model, pair.aligned.model) == 2 * bytes_held(pair.base.model)
    assert not torch.equal(logits(pair.base.model), logits(pair.aligned.model))


def test_a_model_beside_itself_is_loaded_once(llama: Path) -> None:
    spec = ModelSpec(folder=str(llama))
    pair = load_pair_models(spec, spec, dtype="float32")
    assert pair.shares_weights and pair.base.model is pair.aligned.model


def test_an_aligned_side_without_chat_template_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec(folder=str(save_model(tmp_path, template=False)))
    with pytest.raises(WeightsMissing, match=r"has no chat template; name one in models\.yaml"):
        load_pair_models(spec, spec, dtype="float32")


def test_a_chat_template_named_in_the_entry_is_the_aligned_sides_alone(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", template=False)
    (tmp_path / "chat.jinja").write_text("{% for m in messages %}<turn>{{ m['content'] }}<eos>{% endfor %}")
    base = ModelSpec(folder=str(folder))
    aligned = ModelSpec(folder=str(folder), chat_template=str(tmp_path / "chat.jinja"))
    pair = load_pair_models(base, aligned, dtype="float32")
    assert pair.shares_weights and pair.base.tokenizer.chat_template is None
    chat = [{"role": "user", "content": "the"}]
    assert pair.aligned.tokenizer.apply_chat_template(chat, tokenize=False) == "<turn>the<eos>"


def test_a_chat_template_that_is_not_there_is_told(llama: Path, tmp_path: Path) -> None:
    spec = ModelSpec(folder=str(llama), chat_template=str(tmp_path / "none.jinja"))
    with pytest.raises(WeightsMissing, match=r"none\.jinja cannot be read"):
        load_model(spec, dtype="float32")


# What is wrong with files


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    spec = ModelSpec(folder=str(tmp_path / "none"))
    assert "There is no folder" in sentence(WeightsMissing, lambda: load_model(spec, dtype="float32"))
    assert "There is no folder" in missing_reason(spec)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    spec = ModelSpec(folder=str(tmp_path))
    assert "holds no config.json" in sentence(WeightsMissing, lambda: load_model(spec, dtype="float32"))


def test_a_truncated_checkpoint_is_told(llama: Path) -> None:
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "cannot be loaded" in message


def test_a_checkpoint_without_weights_is_told(llama: Path) -> None:
    (llama / "model.safetensors").unlink()
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "cannot be loaded" in message


def test_a_missing_tensor_is_never_made_up(llama: Path) -> None:
    tensors = load_file(llama / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, llama / "model.safetensors", metadata={"format": "pt"})
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "lack 1 tensors, such as model.layers.1.mlp.up_proj.weight" in message


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_spoilt_json_is_told(llama: Path, name: str) -> None:
    (llama / name).write_text('{"half": ')
    assert "cannot be loaded" in sentence(
        WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32")
    )


# Placement and progress


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "cpu:x"])
def test_a_device_that_is_not_here_is_told(llama: Path, device: str) -> None:
    message = sentence(SettingsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32", device=device))
    assert repr(device) in message


def test_a_server_has_no_weights(llama: Path) -> None:
    spec = ModelSpec.model_validate({"server": {"base_url": "http://localhost:1/v1", "model": "x"}})
    assert "behind a server" in sentence(WeightsMissing, lambda: load_model(spec, dtype="float32"))


def test_progress_tells_the_stages_and_transformers_keeps_quiet(
    llama: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_adapter(tmp_path / "adapter", llama)
    capfd.readouterr()
    stages: list[str] = []
    aligned = ModelSpec(folder=str(llama), adapter=AdapterSpec(folder=str(tmp_path / "adapter")))
    load_pair_models(
        ModelSpec(folder=str(llama)), aligned, dtype="float32", progress=lambda stage, _: stages.append(stage)
    )
    assert stages == ["Loading the model", "Loading the adapter"]
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()


def test_a_bar_is_shown_on_a_terminal_only(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal_bar() as progress:
        progress("Converting the weights", 0.5)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with terminal_bar() as progress:
        progress("Converting the weights", 0.5)
    shown = capfd.readouterr()
    assert shown.out == "" and "Converting the weights:  50%" in shown.err
