"""Families with odd heads, positions, caches and attentions, held against transformers' own forward in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny, tiny_families
from urial.engines.base import Sampling
from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.local.lm_head import LmHead
from urial.errors import WeightsError

PROMPT = "the answer to the question is here, and a longer text follows so that windows are passed. "
ANSWER = 12


def engine_of(model: PreTrainedModel, name: str = "odd") -> LocalEngine:
    return LocalEngine(
        model, tiny.tokenizer(), name=name, ends=frozenset({1, 3}), shared=shared_model(model, name), side="base"
    )


@torch.inference_mode()
def exact_rows(model: PreTrainedModel, context: list[int], answer: list[int]) -> torch.Tensor:
    """The family's own logits [T, V] of an answer, in float64."""
    double = copy.deepcopy(model).double()
    double.set_experts_implementation("eager")  # the grouped kernel knows no float64
    return double(torch.tensor([context + answer])).logits[0, len(context) - 1 : -1].double()


@pytest.mark.parametrize("family", tiny_families.SHAPES)
def test_answers_and_rows_are_the_familys_own(family: str) -> None:
    model = tiny_families.model(family)
    engine = engine_of(model)
    context = engine.encode(PROMPT)[:60]
    engine.read_ahead(context[:25])  # what follows is read behind a cache
    answer = [piece.id for piece in engine.generate(context, Sampling(max_new_tokens=ANSWER))]
    exact = exact_rows(model, context, answer)
    assert answer == exact.argmax(dim=-1).tolist()
    session, parts = engine.open_score(context, ANSWER), []
    for part in (answer[:1], answer[1:4], answer[4:]):
        rows = session.extend(part)
        parts.append(rows.chunk(0, len(rows)))
    size = exact.abs().max()
    torch.testing.assert_close(torch.cat(parts).double() / size, exact / size, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", tiny_families.SHAPES)
def test_answers_that_step_together_stay_apart(family: str) -> None:
    engine = engine_of(tiny_families.model(family))
    prompts = [engine.encode(text) for text in (PROMPT, "short", "another one of some length")]
    alone = [[piece.id for piece in engine.generate(ids, Sampling(max_new_tokens=5))] for ids in prompts]
    running = [engine.generate(ids, Sampling(max_new_tokens=5)) for ids in prompts]
    pieces = [[] for _ in prompts]
    for _ in range(5):
        for found, stream in zip(pieces, running, strict=True):
            piece = next(stream, None)
            found += [] if piece is None else [piece.id]
    assert pieces == alone


@pytest.mark.parametrize("family", tiny_families.SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_head_comes_to_what_the_familys_forward_comes_to(family: str, dtype: torch.dtype) -> None:
    model = tiny_families.model(family).to(dtype)
    kept: list[torch.Tensor] = []
    head = model.get_output_embeddings()
    undo = head.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    with torch.inference_mode():
        logits = model(torch.tensor([[5, 6, 7]])).logits[0].float()
    undo.remove()
    found = LmHead(model)(kept[0][0] * undone_scale(model))
    assert torch.linalg.vector_norm(found - logits) <= (1e-5 if dtype == torch.float32 else 0.02) * logits.norm()


def undone_scale(model: PreTrainedModel) -> float:
    """MiniCPM3 scales hidden states before its output layer, so what that layer is given is scaled already."""
    return model.config.logits_scaling if model.config.model_type == "minicpm3" else 1.0


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_usual_heads_keep_their_quick_way(family: str) -> None:
    assert LmHead(tiny.model(family)).family is None


@pytest.mark.parametrize("family", ["HyperCLOVAX", "FalconH1"])
def test_odd_heads_go_through_the_familys_own_forward(family: str) -> None:
    assert LmHead(tiny_families.model(family)).family is not None


def test_a_family_that_is_read_wrong_is_refused_in_one_sentence() -> None:
    model = tiny.model("llama")
    forward = type(model).forward

    def odd(*given: object, **named: object) -> object:
        output = forward(model, *given, **named)
        if named.get("inputs_embeds") is None:
            output.logits = output.logits.roll(1, dims=-1)
        return output

    model.forward = odd
    with pytest.raises(WeightsError, match="does not read right") as caught:
        engine_of(model, "tiny/odd").check()
    assert "tiny/odd" in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_that_cannot_run_is_one_sentence() -> None:
    model = tiny.model("llama")

    def broken(*_: object, **__: object) -> None:
        raise TypeError("no kernel\nfor this machine")

    model.forward = broken
    with pytest.raises(WeightsError, match=r"tiny/broken cannot be run here \(no kernel for this machine\)"):
        engine_of(model, "tiny/broken").check()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_told_by_the_models_name(value: float) -> None:
    model = tiny.model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[3, 4] = value
    with pytest.raises(WeightsError, match="numbers of the model tiny/nan are not finite"):
        engine_of(model, "tiny/nan").check()


@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=3), Sampling(1.0, 0.9, 1.2, 3, 1)])
def test_an_answer_of_no_numbers_ends_in_the_same_sentence(sampling: Sampling) -> None:
    """Where a row of the embeddings alone is damaged, loading cannot see it."""
    model = tiny.model("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[77] = float("nan")
    engine = engine_of(model, "tiny/nan")
    engine.check()
    with pytest.raises(WeightsError, match="numbers of the model tiny/nan are not finite"):
        list(engine.generate([5, 6, 77, 8], sampling))
