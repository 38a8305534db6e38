"""Loading models and pairs from folders: tiny random models, real files."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from tests.support import tiny
from tests.support.weights_folders import bytes_held, logits, save_adapter, save_model, sentence
from urial.engines.base import Sampling
from urial.engines.open import open_pair
from urial.errors import SettingsError, WeightsError, WeightsMissing
from urial.pairs import AdapterSpec, ModelSpec, Pair
from urial.weights import load_model, load_pair_models, missing_reason
from urial.weights.reports import clear_errors
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


def changed_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_tensor_without_a_place_is_never_dropped(llama: Path) -> None:
    """A checkpoint of more layers, or of another kind of layer, than its config says."""
    changed_config(llama, num_hidden_layers=1)
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "hold 9 tensors that have no place in their config.json, such as model.layers.1." in message
    changed_config(llama, num_hidden_layers=2)
    tensors = load_file(llama / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.bias"] = torch.ones(32)
    save_file(tensors, llama / "model.safetensors", metadata={"format": "pt"})
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "model.layers.0.self_attn.q_proj.bias" in message


def test_what_old_checkpoints_hold_and_code_works_out_is_no_error(llama: Path) -> None:
    tensors = load_file(llama / "model.safetensors")
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(tensors, llama / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(
        logits(load_model(ModelSpec(folder=str(llama)), dtype="float32").model), logits(tiny.model("llama"))
    )


def test_tensors_of_another_shape_are_told_with_both_shapes(llama: Path) -> None:
    changed_config(llama, intermediate_size=48)
    message = sentence(WeightsError, lambda: load_model(ModelSpec(folder=str(llama)), dtype="float32"))
    assert "do not fit their config.json" in message and "(32, 64)" in message and "(32, 48)" in message


def test_an_error_that_points_at_a_report_carries_it() -> None:
    """transformers' own: its report goes to a log that nobody sees here."""
    library = logging.getLogger("transformers.modeling_utils")

    def load() -> None:
        with clear_errors(Path("some/folder"), (RuntimeError,)):
            library.warning(
                "LlamaForCausalLM LOAD REPORT from: some/folder\nKey | Status |\n---+---\na.b | CONVERSION | odd"
            )
            raise RuntimeError("We encountered some issues. For details look at the above report!")

    message = sentence(WeightsError, load)
    assert message.endswith("above report! It says: a.b CONVERSION odd")


def test_a_folder_stored_in_four_bits_runs_on_a_processor(tmp_path: Path) -> None:
    """Its numbers are those of its dequantised weights, to float32's rounding, whatever a layer's width."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    folder = save_model(tmp_path / "whole")
    settings = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    made = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=settings, dtype=torch.float32, device_map={"": "cpu"}
    )
    made.save_pretrained(tmp_path / "stored")
    tiny.tokenizer().save_pretrained(tmp_path / "stored")
    exact = tiny.model("llama").double()
    for name, layer in made.named_modules():
        if isinstance(layer, bitsandbytes.nn.Linear4bit):
            whole = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            exact.get_submodule(name).weight.data = whole.double()
    spec = {"folder": str(tmp_path / "stored")}
    pair = Pair.model_validate({"name": "x", "title": "x", "licence": "x", "base": spec, "aligned": spec})
    engines = open_pair(pair, device="cpu", dtype="float32")
    context, answer = [5, 6, 7], [40, 41, 42, 43]
    rows = engines.aligned.open_score(context, 4).extend(answer)
    with torch.inference_mode():
        wanted = exact(torch.tensor([context + answer])).logits[0, 2:-1]
    torch.testing.assert_close(rows.chunk(0, 4).double(), wanted, rtol=0, atol=1e-4)
    assert len(list(engines.aligned.generate(context, Sampling(max_new_tokens=3)))) == 3


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('No turns today') }}", "cannot be used (No turns today)"),
        ("{% for m in messages %}{{ m['content'] }}", "cannot be used (Unexpected end of template"),
        ("{{ 1 / 0 }}", "cannot be used (division by zero)"),
        ("{{ bos_token }}", "leaves out what the user says"),
    ],
)
def test_a_chat_template_that_fails_is_told_at_once(llama: Path, template: str, words: str) -> None:
    (llama / "chat_template.jinja").write_text(template)
    spec = ModelSpec(folder=str(llama))
    message = sentence(WeightsMissing, lambda: load_pair_models(spec, spec, dtype="float32"))
    assert words in message and "name another in models.yaml" in message


def test_several_chat_templates_and_none_the_default_are_told(llama: Path) -> None:
    (llama / "chat_template.jinja").unlink()
    (llama / "additional_chat_templates").mkdir()
    for name in ("tool_use", "rag"):
        (llama / "additional_chat_templates" / f"{name}.jinja").write_text("{{ messages[0]['content'] }}")
    spec = ModelSpec(folder=str(llama))
    message = sentence(WeightsMissing, lambda: load_pair_models(spec, spec, dtype="float32"))
    assert "several chat templates (rag, tool_use) and none is its default" in message


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
