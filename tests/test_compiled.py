"""The compiled loops: weights packed without loss, and the sums of transformers' own layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from tests.packable import adapted, gemma, weights
from urial.compiled.cores import all_cores
from urial.engines import trunks
from urial.engines.base import Sampling
from urial.engines.compiled import blocks, kernels
from urial.engines.compiled.gemma import GemmaTrunk, packed_trunk
from urial.engines.compiled.head import packed_head
from urial.engines.output import Output, packed_of
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.trunk import Trunk

pytestmark = pytest.mark.slow

KINDS = ("whole", "in blocks of 32", "in blocks of 16", "from their least")


# Packing


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_matrix_is_the_matrix_to_the_last_bit(kind: str) -> None:
    weight = weights(kind, 60, 128).numpy()
    packed = blocks.pack(weight)
    assert blocks.is_packed(packed) == (kind != "whole")
    np.testing.assert_array_equal(blocks.dense(packed), weight)
    block = {"whole": 128, "in blocks of 16": 16}.get(kind, 32)
    assert packed.scales.shape == (60, 128 // block)
    assert (len(packed.offsets) > 0) == (kind == "from their least")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_one_bit_off_is_not_packed(kind: str) -> None:
    """Also where the first rows, which are tried first, do pack."""
    weight = weights(kind, 60, 64).numpy()
    weight[50, 7] = np.nextafter(weight[50, 7], np.float32(9))
    packed = blocks.pack(weight)
    assert not blocks.is_packed(packed)
    np.testing.assert_array_equal(blocks.dense(packed), weight)


def test_blocks_of_zeros_and_of_one_value_pack() -> None:
    weight = np.zeros((20, 64), np.float32)
    weight[3] = 0.7
    weight[4, 40] = -1.5
    packed = blocks.pack(weight)
    assert blocks.is_packed(packed)
    np.testing.assert_array_equal(blocks.dense(packed), weight)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_stays_as_it_is(bad: float) -> None:
    weight = weights("in blocks of 32", 20, 64).numpy()
    weight[2, 5] = bad
    np.testing.assert_array_equal(blocks.dense(blocks.pack(weight)), weight)


# Products


@pytest.mark.parametrize("width", [96, 352])
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_float64(kind: str, rows: int, width: int) -> None:
    """More than one tile of outputs, whose low-rank parts meet within a tile."""
    weight = weights(kind, 150, width)
    random = np.random.default_rng(1)
    down, up = (random.standard_normal(shape).astype(np.float32) for shape in ((8, width), (4, 150)))
    bounds = np.array([0, 80, 150])
    matrix = blocks.pack(weight.numpy())._replace(down=down, up=up, bounds=bounds)
    x, out = random.standard_normal((rows, width)).astype(np.float32), np.empty((rows, 150), np.float32)
    kernels.multiply(matrix, x, 1, out)
    wanted = x.astype(np.float64) @ weight.double().numpy().T
    low = (x.astype(np.float64) @ down.T.astype(np.float64)).reshape(rows, 2, 4)
    wanted[1:] += np.einsum("rok,ko->ro", low[1:, np.repeat([0, 1], np.diff(bounds))], up.astype(np.float64))
    np.testing.assert_allclose(out, wanted, atol=3e-5)


def test_a_packed_head_gives_every_logit() -> None:
    weight, hidden = weights("in blocks of 32", 700, 64), torch.randn(3, 64, generator=torch.manual_seed(0))
    head = packed_head(weight, lambda logits: logits * 0.5)
    torch.testing.assert_close(head(hidden), hidden @ weight.t() * 0.5, atol=1e-5, rtol=1e-5)
    assert packed_head(weights("whole", 700, 64), lambda logits: logits) is None


def test_a_broken_state_shows_in_every_logit() -> None:
    head = packed_head(weights("in blocks of 32", 700, 64), lambda logits: logits)
    assert bool(head(torch.full((1, 64), torch.nan)).isnan().all())


# The layers


@pytest.fixture(scope="module", params=["whole", "in blocks of 32"])
def siblings(request: pytest.FixtureRequest) -> tuple[PreTrainedModel, PreTrainedModel]:
    base = gemma(request.param)
    return base, adapted(base)


@torch.inference_mode()
def prompt(model: PreTrainedModel, ids: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.tensor([list(ids)]), past_key_values=cache, use_cache=True)
    return cache


@torch.inference_mode()
def states(trunk: Trunk, siblings: tuple[PreTrainedModel, PreTrainedModel]) -> list[torch.Tensor]:
    """Three answers of different beginnings, two of them adapted, of which one pauses and one ends."""
    base, aligned = siblings
    long, short = list(range(3, 33)), [5, 6]
    places = [
        trunk.open(prompt(base, long), 30, 12, is_adapted=False),
        trunk.open(prompt(aligned, short), 2, 12, is_adapted=True),
        trunk.open(prompt(aligned, long), 30, 12, is_adapted=True),
    ]
    going = [[0, 1, 2], [0, 1, 2], [1], [0, 2], [0, 1, 2], [1, 2], [0], [0, 1, 2]]
    return [
        trunk.hidden([places[i] for i in rows], [7 + 3 * step + i for i in rows]) for step, rows in enumerate(going)
    ]


def test_hidden_states_are_those_of_the_layers(siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    wanted = states(RowsTrunk(siblings[1]), siblings)
    for found, state in zip(states(GemmaTrunk(siblings[1]), siblings), wanted, strict=True):
        torch.testing.assert_close(found, state, atol=2e-4, rtol=1e-4)


def test_six_heads_over_one_group_of_keys_are_more_than_go_at_a_time() -> None:
    model = gemma("whole", hidden=96, heads=6, groups=1, size=48)
    wanted = states(RowsTrunk(model), (model, model))
    for found, state in zip(states(GemmaTrunk(model), (model, model)), wanted, strict=True):
        torch.testing.assert_close(found, state, atol=2e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_prompt_read_by_loops_is_that_of_the_layers(siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    """In two parts, the first of more than go at once, both longer than the window; the cache serves both ways."""
    ids = torch.arange(130).remainder(90).tolist()
    trunk = GemmaTrunk(siblings[1])
    for model in siblings:
        cache, is_adapted = DynamicCache(config=model.config), model is siblings[1]
        parts = [trunk.reader(part, cache, is_adapted=is_adapted) for part in (ids[:100], ids[100:])]
        wanted = model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        torch.testing.assert_close(torch.cat(parts), wanted, atol=5e-4, rtol=1e-4)
        for layer, known in zip(cache.layers, prompt(model, ids).layers, strict=True):
            torch.testing.assert_close(layer.keys, known.keys, atol=2e-4, rtol=1e-4)
            torch.testing.assert_close(layer.values, known.values, atol=2e-4, rtol=1e-4)
        assert cache.get_seq_length() == 130
        more = torch.tensor([[4, 5, 6]])
        known = prompt(model, ids)
        ours, theirs = (
            model.base_model(input_ids=more, past_key_values=each).last_hidden_state for each in (cache, known)
        )
        torch.testing.assert_close(ours, theirs, atol=5e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_prompt_read_at_once_or_token_by_token_is_the_same_to_the_last_bit(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    trunk, ids = GemmaTrunk(siblings[1]), list(range(3, 80))
    whole, parts = (DynamicCache(config=siblings[1].config) for _ in range(2))
    at_once = trunk.reader(ids, whole, is_adapted=True)
    trunk.reader(ids[:20], parts, is_adapted=True)
    place = trunk.open(parts, 20, 57, is_adapted=True)
    for token, expected in zip(ids[20:], at_once[20:], strict=True):
        assert torch.equal(trunk.hidden([place], [token])[0], expected)


def test_a_prompt_stays_as_it_is(siblings: tuple[PreTrainedModel, PreTrainedModel]) -> None:
    trunk, cache = GemmaTrunk(siblings[1]), prompt(siblings[0], range(20))
    before = [layer.keys.clone() for layer in cache.layers]
    with torch.inference_mode():
        place = trunk.open(cache, 20, 3, is_adapted=False)
        trunk.hidden([place], [4])
    assert all(torch.equal(layer.keys, keys) for layer, keys in zip(cache.layers, before, strict=True))


def test_an_answer_beyond_its_room_is_refused_before_anything_is_written(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    trunk, cache = GemmaTrunk(siblings[0]), prompt(siblings[0], range(20))
    with torch.inference_mode():
        place = trunk.open(cache, 20, 2, is_adapted=False)
        for token in (4, 5):
            trunk.hidden([place], [token])
        held = place.held.copy()
        with pytest.raises(RuntimeError, match="room"):
            trunk.hidden([place], [6])
    np.testing.assert_array_equal(place.held, held)


def test_positions_beyond_the_first_table_turn_as_the_layers_do(
    siblings: tuple[PreTrainedModel, PreTrainedModel],
) -> None:
    ids = torch.arange(1100).remainder(90).tolist()
    cache, found = prompt(siblings[0], ids), []
    with torch.inference_mode():
        for trunk in (GemmaTrunk(siblings[0]), RowsTrunk(siblings[0])):
            found.append(trunk.hidden([trunk.open(cache, len(ids), 2, is_adapted=False)], [4]))
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-4)


# Which models get them


def test_only_large_packed_gemmas_get_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, whole = gemma("in blocks of 32"), gemma("whole")
    assert isinstance(trunks.trunk_for(packed).result(), RowsTrunk)
    monkeypatch.setattr(trunks, "WORTH_COMPILING", 1)
    assert isinstance(trunks.trunk_for(packed).result(), GemmaTrunk)
    assert isinstance(trunks.trunk_for(whole).result(), RowsTrunk)
    assert packed_trunk(gemma("in blocks of 32", size=8)) is None
    packed.config.hidden_activation = "silu"
    assert packed_trunk(packed) is None


def test_a_loop_that_cannot_be_compiled_is_an_error_that_is_told() -> None:
    with pytest.raises(RuntimeError, match="could not be compiled"), all_cores("a test"):
        kernels.multiply(None, None, None, None)


@pytest.mark.parametrize("error", [RuntimeError("cannot cache function: no locator available"), MemoryError()])
def test_a_machine_that_cannot_compile_or_has_no_room_goes_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("urial.engines.compiled.gemma.packed_trunk", broken)
    monkeypatch.setattr("urial.engines.compiled.head.packed_head", broken)
    monkeypatch.setattr(trunks, "WORTH_COMPILING", 1)
    assert isinstance(trunks.trunk_for(gemma("in blocks of 32")).result(), RowsTrunk)
    assert packed_of(nn.Linear(4, 4), lambda logits: logits) is None
    assert caplog.text.count("could not be made") == 2


def test_all_ways_through_an_output_layer_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model, hidden = gemma("in blocks of 32"), torch.randn(2, 64, generator=torch.manual_seed(1))
    plain = Output(model)(hidden, is_greedy=Sampling().is_greedy)
    monkeypatch.setattr("urial.engines.output.WORTH", 1)
    packed = Output(model)(hidden, is_greedy=True)
    assert len(packed) == 2
    torch.testing.assert_close(torch.cat(list(packed)), torch.cat(list(plain)), atol=1e-4, rtol=1e-4)
