"""The runner over compiled loops: the sums of transformers' own layers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.packable import adapted, gemma
from tests.support.runners import chosen
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.runner import Chunk, Prefix, Runner
from urial.engines.local.torch_runner import TorchRunner

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["whole", "in blocks of 32"])
def siblings(request: pytest.FixtureRequest) -> tuple[PreTrainedModel, PreTrainedModel]:
    base = gemma(request.param)
    return base, adapted(base)


def opened(runner: Runner, ids: Sequence[int], room: int = 12, adapter: float = 0.0) -> object:
    """A cache that holds some tokens, with room for more."""
    cache = runner.open(len(ids) + room, None)
    runner.forward([Chunk(cache, ids, 0, adapter)])
    return cache


def logits(runner: Runner) -> list[torch.Tensor]:
    """Three texts of different beginnings, two of them adapted, of which one pauses and one ends."""
    long, short = list(range(3, 33)), [5, 6]
    texts = [(long, 0.0), (short, 1.0), (long, 1.0)]
    caches = [opened(runner, ids, adapter=adapter) for ids, adapter in texts]
    going = [[0, 1, 2], [0, 1, 2], [1], [0, 2], [0, 1, 2], [1, 2], [0], [0, 1, 2]]
    return [
        row
        for step, rows in enumerate(going)
        for row in runner.forward([Chunk(caches[i], [7 + 3 * step + i], 1, texts[i][1]) for i in rows])
    ]


def assert_same_logits(one: Runner, other: Runner) -> None:
    for found, wanted in zip(logits(one), logits(other), strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-4, rtol=1e-3)


def test_logits_are_those_of_the_layers(siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    assert_same_logits(CompiledCpuRunner(siblings[1]), TorchRunner(siblings[1]))


def test_six_heads_over_one_group_of_keys_are_more_than_go_at_a_time() -> None:
    model = gemma("whole", hidden=96, heads=6, groups=1, size=48)
    assert_same_logits(CompiledCpuRunner(model), TorchRunner(model))


@torch.inference_mode()
def test_a_prompt_is_read_as_the_layers_read_it(siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    """In two parts, both longer than the window, and every row of the second."""
    ids = torch.arange(130).remainder(90).tolist()
    runner = CompiledCpuRunner(siblings[1])
    for model, adapter in zip(siblings, (0.0, 1.0), strict=True):
        cache = opened(runner, ids[:100], 30, adapter)
        (found,) = runner.forward([Chunk(cache, ids[100:], 30, adapter)])
        torch.testing.assert_close(found, model(torch.tensor([ids])).logits[0, 100:], atol=1e-3, rtol=1e-3)
        assert cache.length == 130


def test_a_prompt_read_at_once_or_token_by_token_is_the_same_to_the_last_bit(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    runner, ids = CompiledCpuRunner(siblings[1]), list(range(3, 80))
    (at_once,) = runner.forward([Chunk(runner.open(77, None), ids, 57, 1.0)])
    cache = opened(runner, ids[:20], 57, 1.0)
    for token, expected in zip(ids[20:], at_once, strict=True):
        (found,) = runner.forward([Chunk(cache, [token], 1, 1.0)])
        assert torch.equal(found[0], expected)


def test_a_prefix_stays_as_it_is_and_may_end_within_a_cache(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    runner, ids = CompiledCpuRunner(siblings[0]), list(range(3, 43))
    cache = opened(runner, ids, 5)
    (wanted,) = runner.forward([Chunk(opened(runner, ids[:20], 5), [4], 1, 0.0)])
    for _ in range(2):
        behind = runner.open(30, Prefix(cache, 20))
        (found,) = runner.forward([Chunk(behind, [4], 1, 0.0)])
        assert torch.equal(found, wanted) and cache.length == 40


def test_a_text_beyond_its_room_is_refused_before_anything_is_read(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    runner = CompiledCpuRunner(siblings[0])
    cache = opened(runner, range(20), 2)
    with pytest.raises(RuntimeError, match="room"):
        runner.forward([Chunk(cache, [4, 5, 6], 1, 0.0)])
    assert cache.length == 20


def test_positions_beyond_the_first_table_turn_as_the_layers_do(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    ids = torch.arange(1100).remainder(90).tolist()
    found = []
    for runner in (CompiledCpuRunner(siblings[0]), TorchRunner(siblings[0])):
        found += runner.forward([Chunk(opened(runner, ids, 1), [4], 1, 0.0)])
    torch.testing.assert_close(*found, atol=5e-4, rtol=1e-3)


@torch.inference_mode()
def test_a_broken_weight_shows_in_every_logit() -> None:
    model = gemma("in blocks of 32")
    model.base_model.norm.weight.fill_(torch.nan)
    runner = CompiledCpuRunner(model)
    assert bool(runner.forward([Chunk(runner.open(1, None), [3], 1, 0.0)])[0].isnan().all())


# Which models get them


@pytest.mark.parametrize("error", [RuntimeError("cannot cache function: no locator available"), MemoryError()])
def test_a_machine_that_cannot_compile_or_has_no_room_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("urial.engines.local.compiled_cpu.runner.CompiledCpuRunner", broken)
    assert isinstance(chosen(gemma("in blocks of 32"), worth_compiling=1), TorchRunner)
    assert caplog.text.count("could not be made") == 1
