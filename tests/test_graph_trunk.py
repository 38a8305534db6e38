"""The trunk over slots against the trunk over rows, on tiny random models: the same states, whoever comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import DynamicCache, PreTrainedModel

from tests import tiny
from tests.test_local_engine import adapted_twin
from urial.engines import slots as slots_module
from urial.engines.background import done
from urial.engines.base import Sampling
from urial.engines.capture import Plain
from urial.engines.graph_trunk import GraphTrunk
from urial.engines.local import LocalEngine
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.slots import SlotLayer, next_power
from urial.engines.stepper import Stepper
from urial.engines.trunk import Place, Trunk
from urial.errors import EngineError

FAMILIES = ("llama", "gemma3", "qwen2", "cohere2")  # gemma2 caps its scores: it decodes by transformers' own cache


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room grows by 8 positions, so that small answers make it grow."""
    monkeypatch.setattr(slots_module, "LENGTH_STEP", 8)


@torch.inference_mode()
def read(model: PreTrainedModel, ids: list[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.tensor([ids]), past_key_values=cache, use_cache=True)
    return cache


def some_ids(length: int, seed: int = 0) -> list[int]:
    return torch.randint(4, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


class Twin:
    """The same answers over slots and over rows: every step is compared."""

    def __init__(self, model: PreTrainedModel, kept_bytes: int = 0) -> None:
        self.model = model
        self.slots = GraphTrunk(model, Plain(), kept_bytes)
        self.rows = RowsTrunk(model)

    def open(self, length: int, room: int, *, is_adapted: bool = False, seed: int = 0) -> tuple[Place, Place]:
        prompt = read(self.model, some_ids(length, seed))
        return tuple(trunk.open(prompt, length, room, is_adapted=is_adapted) for trunk in (self.slots, self.rows))

    @torch.inference_mode()
    def step(self, places: Iterable[tuple[Place, Place]], token: int) -> torch.Tensor:
        tokens = [token + n for n, _ in enumerate(places)]
        ours = self.slots.hidden([slot for slot, _ in places], tokens)
        theirs = self.rows.hidden([row for _, row in places], tokens)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        return ours

    def close(self, place: tuple[Place, Place]) -> None:
        self.slots.close(place[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 15, 16, 40])
def test_one_answer_is_the_same_over_slots_and_over_rows(family: str, length: int) -> None:
    """Prompts shorter than, as long as and longer than the sliding window of 16, and answers that pass it."""
    twin = Twin(tiny.unchanged(family, 0))
    place = twin.open(length, 18)
    for n in range(18):
        twin.step([place], 5 + n)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_come_and_go_and_slots_are_used_again(family: str) -> None:
    twin = Twin(tiny.unchanged(family, 0))
    first, second = twin.open(20, 30), twin.open(3, 12, seed=1)
    for n in range(6):
        twin.step([first, second], 5 + n)
    twin.close(first)
    third = twin.open(9, 40, seed=2)
    assert third[0].index == first[0].index
    for n in range(6):
        twin.step([second, third], 50 + n)
    twin.close(second)
    for n in range(20):
        twin.step([third], 90 + n)


@pytest.mark.parametrize("family", FAMILIES)
def test_room_grows_in_the_middle_of_an_answer(family: str) -> None:
    twin = Twin(tiny.unchanged(family, 0))
    places = [twin.open(5, 30)]
    twin.step(places, 5)
    sizes = []
    for n, length in enumerate((4, 50, 6, 7, 8)):  # slots grow at once, again at the third and the fifth; length once
        places.append(twin.open(length, 10, seed=n))
        twin.step(places, 20 + n)
        sizes.append((twin.slots._slots.count, twin.slots._slots.length))
    assert sizes == [(2, 40), (4, 64), (4, 64), (8, 64), (8, 64)]


def test_where_memory_is_full_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Twin(tiny.unchanged("gemma3", 0))
    going = twin.open(20, 30)
    twin.step([going], 5)
    grown, calls = SlotLayer.grown, []

    def full(layer: SlotLayer, slots: int, length: int) -> SlotLayer:
        calls.append(layer)
        if len(calls) == 2:  # of the layers, the first has grown already
            raise torch.OutOfMemoryError("CUDA out of memory")
        return grown(layer, slots, length)

    monkeypatch.setattr(SlotLayer, "grown", full)
    with pytest.raises(EngineError, match="memory is full"):
        twin.open(70, 30, seed=1)
    for n in range(5):
        twin.step([going], 6 + n)
    other = twin.open(70, 30, seed=1)  # now there is room again
    for n in range(5):
        twin.step([going, other], 16 + n)


def test_a_slot_that_rides_along_does_not_move() -> None:
    twin = Twin(tiny.unchanged("gemma3", 0))
    moving, waiting = twin.open(20, 30), twin.open(18, 30, seed=1)
    for n in range(5):
        twin.step([moving], 5 + n)
    assert waiting[0].position == 18
    for n in range(5):
        twin.step([waiting, moving], 30 + n)  # in another order than their slots


def test_a_full_answer_may_ride_along() -> None:
    twin = Twin(tiny.unchanged("llama", 0))
    full, going = twin.open(6, 2), twin.open(1, 6, seed=1)  # 8 positions hold both but for the one to write on
    for n in range(2):
        twin.step([full, going], 5 + n)
    for n in range(4):
        twin.step([going], 9 + n)


@pytest.mark.parametrize("family", ["gemma3", "llama"])
def test_the_adapter_reaches_only_slots_that_carry_it(family: str) -> None:
    twin = Twin(adapted_twin(tiny.model(family)))
    base, aligned = twin.open(20, 20), twin.open(20, 20, is_adapted=True)
    found = twin.step([base, aligned], 5)
    assert not torch.allclose(*found, atol=1e-3)
    for n in range(4):
        twin.step([base], 6 + n)
        twin.step([aligned], 7 + n)
        twin.step([base, aligned], 8 + n)
    twin.close(base)
    other = twin.open(9, 5, is_adapted=True, seed=3)  # the adapter goes with the answer, not with the slot
    assert other[0].index == 0
    twin.step([other, aligned], 40)


@torch.inference_mode()
def test_a_slot_forgets_what_was_not_finite() -> None:
    twin = Twin(tiny.unchanged("llama", 0))
    broken, other = twin.open(6, 20), twin.open(6, 20)
    twin.slots._slots.layers[0].values[broken[0].index].fill_(float("nan"))
    twin.step([other], 5)
    twin.close(broken)
    again = twin.open(4, 3)
    assert again[0].index == broken[0].index
    twin.step([again, other], 6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prompts_cache_stays_as_it_was(family: str) -> None:
    model = tiny.unchanged(family, 0)
    prompt = read(model, some_ids(20))
    before = [(layer.keys.clone(), layer.values.clone()) for layer in prompt.layers]
    trunk = GraphTrunk(model, Plain())
    place = trunk.open(prompt, 20, 9, is_adapted=False)
    for _ in range(9):
        trunk.hidden([place], [7])
    for layer, (keys, values) in zip(prompt.layers, before, strict=True):
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)


def test_room_goes_with_its_last_answer_unless_it_is_small() -> None:
    model = tiny.unchanged("llama", 0)
    prompt = read(model, some_ids(5))
    for kept_bytes, is_kept in ((0, False), (10**9, True)):
        trunk = GraphTrunk(model, Plain(), kept_bytes)
        one, other = (trunk.open(prompt, 5, 5, is_adapted=False) for _ in range(2))
        trunk.hidden([one, other], [5, 6])
        trunk.close(one)
        assert trunk._slots.bytes > 0 and trunk._steps
        trunk.close(other)
        trunk.close(other)
        assert bool(trunk._slots.bytes) == is_kept == bool(trunk._steps) == bool(len(trunk._inputs))


def addresses(trunk: GraphTrunk) -> list[int]:
    layers = trunk._slots.layers
    return [trunk._inputs.data_ptr(), *(t.data_ptr() for layer in layers for t in (layer.keys, layer.values))]


def test_tensors_keep_their_addresses_while_room_is_enough() -> None:
    model = tiny.unchanged("gemma3", 0)
    prompt = read(model, some_ids(20))
    trunk = GraphTrunk(model, Plain())
    one, other = (trunk.open(prompt, 20, 10, is_adapted=False) for _ in range(2))
    trunk.hidden([one, other], [5, 6])
    before, steps = addresses(trunk), dict(trunk._steps)
    trunk.hidden([other], [7])
    trunk.close(one)
    again = trunk.open(prompt, 20, 9, is_adapted=True)
    trunk.hidden([again, other], [7, 8])
    assert addresses(trunk) == before and trunk._steps == steps
    trunk.open(prompt, 20, 9, is_adapted=False)
    assert not trunk._steps  # moved: whatever was captured over the old tensors is gone


def engine_over(trunk: Trunk, model: PreTrainedModel) -> LocalEngine:
    stepper = Stepper(model, threading.Lock())
    stepper._trunk_made = done(trunk)
    return LocalEngine(model, tiny.tokenizer(), name="e", ends=frozenset({1, 3}), stepper=stepper, side="base")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=12), Sampling(1.0, 0.9, 1.2, 12, 3)])
def test_an_engine_over_slots_writes_what_one_over_rows_writes(family: str, sampling: Sampling) -> None:
    model = tiny.unchanged(family, 0)

    def pieces(trunk: Trunk) -> list:
        engine = engine_over(trunk, model)
        prompts = [engine.encode(text) for text in ("short", "another text of some length, past the window", "x")]
        return list(zip(*(engine.generate(ids, sampling) for ids in prompts), strict=False))

    slots = GraphTrunk(model, Plain(), kept_bytes=0)
    assert pieces(slots) == pieces(RowsTrunk(model))
    assert slots._slots.bytes == 0


def test_threads_share_slots_without_mixing_answers() -> None:
    model = tiny.unchanged("gemma3", 0)
    slots = GraphTrunk(model, Plain(), kept_bytes=0)
    engine = engine_over(slots, model)
    prompts = [engine.encode("text number " * n) for n in range(1, 9)]

    def answer(ids: list[int]) -> list[int]:
        return [piece.id for piece in engine.generate(ids, Sampling(max_new_tokens=len(ids) % 7 + 5))]

    alone = [answer(ids) for ids in prompts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, prompts)) == alone
    assert slots._slots.bytes == 0


def test_slots_come_in_powers_of_two() -> None:
    assert [next_power(count) for count in (1, 2, 3, 4, 5, 8, 9, 16, 17)] == [1, 2, 4, 4, 8, 8, 16, 16, 32]
