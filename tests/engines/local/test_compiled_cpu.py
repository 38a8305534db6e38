"""The compiled loops: weights packed without loss, and the sums of transformers' own layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.support.packable import adapted, gemma, weights
from tests.support.runners import chosen
from urial.engines.local.compiled_cpu import kernels, packing
from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner
from urial.engines.local.runner import Chunk, Prefix, Runner
from urial.engines.local.torch_runner import TorchRunner
from urial.numba_tools.cores import all_cores

pytestmark = pytest.mark.slow

STORED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = ("whole", "in blocks of 32", "in blocks of 16", "from their least")


# Packing


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_matrix_is_the_matrix_to_the_last_bit(kind: str) -> None:
    weight = weights(kind, 60, 128)
    packed = packing.pack(weight)
    assert packing.is_packed(packed) == (kind != "whole")
    np.testing.assert_array_equal(packing.dense(packed), weight.numpy())
    assert packed.scales.shape == {"whole": (0, 0), "in blocks of 16": (60, 8)}.get(kind, (60, 4))
    assert (len(packed.offsets) > 0) == (kind == "from their least")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_one_bit_off_is_not_packed(kind: str) -> None:
    """Also where the first rows, which are tried first, do pack."""
    weight = weights(kind, 60, 64)
    weight[50, 7] = torch.nextafter(weight[50, 7], torch.tensor(9.0))
    packed = packing.pack(weight)
    assert not packing.is_packed(packed)
    np.testing.assert_array_equal(packing.dense(packed), weight.numpy())


def test_blocks_of_zeros_and_of_one_value_pack() -> None:
    weight = torch.zeros(20, 64)
    weight[3] = 0.7
    weight[4, 40] = -1.5
    packed = packing.pack(weight)
    assert packing.is_packed(packed)
    np.testing.assert_array_equal(packing.dense(packed), weight.numpy())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_stays_as_it_is(bad: float) -> None:
    weight = weights("in blocks of 32", 20, 64)
    weight[2, 5] = bad
    np.testing.assert_array_equal(packing.dense(packing.pack(weight)), weight.numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_two_bytes_stay_two_bytes_over_the_same_memory(dtype: torch.dtype) -> None:
    """All there are: also the smallest, what is infinite and what is no number."""
    weight = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype).view(256, 256)
    packed = packing.pack(weight)
    assert packed.codes.nbytes == weight.nbytes and packed.codes.ctypes.data == weight.data_ptr()
    np.testing.assert_array_equal(packing.dense(packed), weight.float().numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_stored_number_is_multiplied_as_what_it_is(dtype: torch.dtype) -> None:
    """One entry of each row of weights meets a 1, so the product is that weight, to the last bit."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16 if dtype.itemsize > 2 else dtype)
    given = every.to(dtype)[every.isfinite()][: 60 * 16 * 60].view(-1, 16)
    out = np.empty((16, len(given)), np.float32)
    kernels.multiply(packing.as_stored(given), np.eye(16, dtype=np.float32), np.zeros(16, np.float32), out)
    np.testing.assert_array_equal(out, given.float().numpy().T)


# Products


@pytest.mark.parametrize("width", [96, 352])
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [*KINDS, *STORED])
def test_products_are_those_of_float64(kind: str, rows: int, width: int) -> None:
    """More than one tile of outputs, whose low-rank parts meet within a tile."""
    weight = weights("whole", 150, width).to(STORED[kind]) if kind in STORED else weights(kind, 150, width)
    random = np.random.default_rng(1)
    down, up = (random.standard_normal(shape).astype(np.float32) for shape in ((8, width), (4, 150)))
    bounds = np.array([0, 80, 150])
    bias = random.standard_normal(150).astype(np.float32)
    matrix = packing.pack(weight)._replace(bias=bias, down=down, up=up, bounds=bounds)
    x, out = random.standard_normal((rows, width)).astype(np.float32), np.empty((rows, 150), np.float32)
    factors = np.linspace(0, 1.5, rows).astype(np.float32)
    kernels.multiply(matrix, x, factors, out)
    wanted = x.astype(np.float64) @ weight.double().numpy().T + bias
    low = (x.astype(np.float64) @ down.T.astype(np.float64)).reshape(rows, 2, 4)
    added = np.einsum("rok,ko->ro", low[:, np.repeat([0, 1], np.diff(bounds))], up.astype(np.float64))
    wanted += factors[:, None].astype(np.float64) * added
    np.testing.assert_allclose(out, wanted, atol=3e-5, rtol=3e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_packed_and_of_unpacked_weights_are_the_same_to_the_last_bit(kind: str) -> None:
    """A code becomes the very float32 that the file stood for before anything is multiplied with it."""
    weight = weights(kind, 150, 352)
    x = np.random.default_rng(2).standard_normal((5, 352)).astype(np.float32)
    packed, plain = np.empty((5, 150), np.float32), np.empty((5, 150), np.float32)
    for matrix, out in ((packing.pack(weight), packed), (packing.as_stored(weight), plain)):
        kernels.multiply(matrix, x, np.zeros(5, np.float32), out)
    np.testing.assert_array_equal(packed, plain)


# The layers


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


def test_a_loop_that_cannot_be_compiled_is_an_error_that_is_told() -> None:
    with pytest.raises(RuntimeError, match="could not be compiled"), all_cores("a test"):
        kernels.multiply(None, None, None, None)


@pytest.mark.parametrize("error", [RuntimeError("cannot cache function: no locator available"), MemoryError()])
def test_a_machine_that_cannot_compile_or_has_no_room_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("urial.engines.local.compiled_cpu.runner.CompiledCpuRunner", broken)
    assert isinstance(chosen(gemma("in blocks of 32"), worth_compiling=1), TorchRunner)
    assert caplog.text.count("could not be made") == 1
