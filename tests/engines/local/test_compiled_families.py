"""Every family that has compiled loops, however its weights are stored, held against transformers in float64."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel

from tests.support import tiny, tiny_families
from tests.support.packable import adapted
from tests.support.runners import chosen
from tests.support.tiny_families import DECODERS, decoder
from urial.engines.local.compiled_cpu.families import why_not
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.runner import Chunk, Prefix
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner

pytestmark = pytest.mark.slow

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
IDS = torch.arange(5, 95).mul(7).remainder(440).tolist()


@torch.inference_mode()
def exact(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of the stored weights in float64."""
    return copy.deepcopy(model).double()(torch.tensor([ids])).logits[0]


def assert_exact(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found.double() / wanted.abs().max(), wanted / wanted.abs().max(), rtol=0, atol=3e-6)


# The numbers


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_logits_are_those_of_float64(name: str, dtype: torch.dtype) -> None:
    """A prompt in two parts, beyond the window, then single tokens beside another text."""
    model = decoder(name, dtype)
    wanted, other = exact(model, IDS), exact(model, IDS[40:60])
    runner = CompiledCpuRunner(model)
    cache, beside = runner.open(90, None), runner.open(20, None)
    parts = [runner.forward([Chunk(cache, part, len(part), 1.0)])[0] for part in (IDS[:30], IDS[30:70])]
    company = []
    for ahead in range(20):
        rows = runner.forward([Chunk(cache, [IDS[70 + ahead]], 1, 1.0), Chunk(beside, [IDS[40 + ahead]], 1, 1.0)])
        parts.append(rows[0])
        company.append(rows[1])
    assert_exact(torch.cat(parts), wanted)
    assert_exact(torch.cat(company), other)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["SmolLM2", "Qwen2", "OLMo2", "Gemma 3"])
@torch.inference_mode()
def test_greedy_answers_are_transformers_in_float32(name: str, dtype: torch.dtype) -> None:
    model = decoder(name, dtype)
    wanted = (
        copy.deepcopy(model)
        .float()
        .generate(torch.tensor([IDS[:20]]), do_sample=False, max_new_tokens=12, min_new_tokens=12, eos_token_id=None)
    )
    runner = CompiledCpuRunner(model)
    cache, given, found = runner.open(40, None), IDS[:20], []
    for _ in range(12):
        (row,) = runner.forward([Chunk(cache, given, 1, 0.0)])
        given = [int(row.argmax())]
        found += given
    assert found == wanted[0, 20:].tolist()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", DECODERS)
def test_an_adapter_goes_by_each_rows_factor(name: str, dtype: torch.dtype) -> None:
    base = decoder(name, dtype)
    aligned = adapted(base)
    runner = CompiledCpuRunner(aligned)
    batch = [Chunk(runner.open(30, None), IDS[:30], 30, factor) for factor in (0.0, 1.0)]
    plain, whole = runner.forward(batch)
    assert_exact(plain, exact(base, IDS[:30]))
    assert_exact(whole, exact(aligned, IDS[:30]))


# To the last bit


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["SmolLM2", "Qwen3", "OLMo2"])
def test_a_row_does_not_depend_on_its_company(name: str, dtype: torch.dtype) -> None:
    """Nor on how its text is cut, nor on which beginning of another cache it stands behind."""
    runner = CompiledCpuRunner(decoder(name, dtype))
    (at_once,) = runner.forward([Chunk(runner.open(90, None), IDS, 90, 0.0)])
    cache = runner.open(90, None)
    found = [runner.forward([Chunk(cache, IDS[:41], 41, 0.0)])[0]]
    for place in range(41, 60):
        others = [Chunk(runner.open(3, None), IDS[place : place + 3], 2, 1.0) for _ in range(place % 4)]
        found.append(runner.forward([*others, Chunk(cache, [IDS[place]], 1, 0.0)])[-1])
    behind = runner.open(90, Prefix(cache, 60))
    found += runner.forward([Chunk(behind, IDS[60:], 30, 0.0)])
    assert torch.equal(torch.cat(found), at_once)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_identical_models_differ_by_nothing(dtype: torch.dtype) -> None:
    one, other = (CompiledCpuRunner(decoder("SmolLM2", dtype)) for _ in range(2))
    rows = [runner.forward([Chunk(runner.open(90, None), IDS, 90, 0.0)])[0] for runner in (one, other)]
    assert torch.equal(*rows)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_weight_is_held_twice(dtype: torch.dtype) -> None:
    """The model's own parameters lie over what the loops read; its own forward stays what it was, to the last bit."""
    model, before = decoder("SmolLM2", dtype), decoder("SmolLM2", dtype)
    runners = [CompiledCpuRunner(model) for _ in range(2)]
    layer, attending = runners[0]._layers[1], model.model.layers[1].self_attn
    places = [linear.weight.data_ptr() for linear in (attending.q_proj, attending.k_proj, attending.v_proj)]
    rows = attending.q_proj.weight.nbytes, attending.k_proj.weight.nbytes
    start = layer.matrices[0].codes.ctypes.data
    assert places == [start, start + rows[0], start + sum(rows)]
    assert runners[1]._layers[1].matrices[0].codes.ctypes.data == start
    assert runners[0]._head.codes.ctypes.data == model.model.embed_tokens.weight.data_ptr()
    with torch.inference_mode():
        assert torch.equal(*(each(torch.tensor([IDS])).logits for each in (model, before)))


# Which models get them


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_large_model_of_the_table_gets_loops(dtype: torch.dtype) -> None:
    assert isinstance(chosen(decoder("SmolLM2", dtype), worth_compiling=1), CompiledCpuRunner)
    assert isinstance(chosen(decoder("SmolLM2", dtype)), TorchRunner)


def without_table() -> PreTrainedModel:
    return tiny_families.model("Granite")


def of_odd_widths() -> PreTrainedModel:
    return tiny.model("llama")


def with_another_activation() -> PreTrainedModel:
    model = decoder("SmolLM2")
    model.config.hidden_act = "relu"
    return model


def with_positions_that_change() -> PreTrainedModel:
    model = decoder("SmolLM2")
    model.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    return model


def with_a_layer_of_its_own() -> PreTrainedModel:
    class Other(torch.nn.Linear):
        pass

    model = decoder("SmolLM2")
    model.model.layers[1].mlp.up_proj.__class__ = Other
    return model


def that_accelerate_moves() -> PreTrainedModel:
    model = decoder("SmolLM2")
    model.model.layers[1]._hf_hook = object()
    return model


def quantised() -> PreTrainedModel:
    model = decoder("SmolLM2")
    model.hf_quantizer = object()
    return model


def softcapped() -> PreTrainedModel:
    model = decoder("Gemma 3")
    model.config.final_logit_softcapping = 30.0
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (without_table, "the family granite has no compiled loops"),
        (of_odd_widths, "no multiples of 16"),
        (with_another_activation, "its activation is relu"),
        (with_positions_that_change, "its positions are dynamic"),
        (with_a_layer_of_its_own, "a layer is Other"),
        (that_accelerate_moves, "accelerate moves"),
        (quantised, "quantised"),
        (softcapped, "final_logit_softcapping 30.0"),
    ],
)
def test_another_model_goes_through_transformers_layers_and_the_log_says_why(
    make: Callable[[], PreTrainedModel], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = make()
    assert reason in (why_not(model) or "")
    with caplog.at_level(logging.INFO, "urial"):
        assert isinstance(chosen(model, worth_compiling=1), (TorchRunner, SequentialRunner))
    lines = [each.getMessage() for each in caplog.records if "transformers' layers" in each.getMessage()]
    assert len(lines) == 1 and reason in lines[0]


def test_a_model_whose_own_forward_gives_other_numbers_is_found_out_by_trying(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = decoder("SmolLM2")
    usual = model.model.norm.forward
    model.model.norm.forward = lambda x: 1.5 * usual(x)
    with caplog.at_level(logging.INFO, "urial"):
        assert isinstance(chosen(model, worth_compiling=1), TorchRunner)
    assert "CompiledCpuRunner gives other numbers" in caplog.text
