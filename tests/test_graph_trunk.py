"""The trunk over slots against the trunk over rows, on tiny random models; what CUDA graphs need, without a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import DynamicCache, PreTrainedModel

from tests import tiny
from tests.test_local_engine import adapted_twin
from urial.engines import graph_trunk, trunks
from urial.engines import slots as slots_module
from urial.engines.base import Sampling
from urial.engines.capture import CudaGraphs, Plain, Step
from urial.engines.graph_trunk import GraphTrunk
from urial.engines.local import LocalEngine
from urial.engines.norms import OffsetRmsNorm, RmsNorm, fused_norm
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.slots import next_power
from urial.engines.stepper import Stepper
from urial.engines.trunk import Place, Trunk
from urial.engines.trunks import trunk_for

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
    full, going = twin.open(5, 2), twin.open(1, 6, seed=1)  # 8 positions hold both but for the one to write on
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


class Counting(Plain):
    """Captures that can be counted; a replay runs the step, as a graph would, and returns the same tensor."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(self, step):
        self.captures += 1
        found = step().clone()
        return lambda: found.copy_(step())


@torch.inference_mode()
def test_a_step_is_captured_once_for_each_number_of_slots() -> None:
    model = tiny.unchanged("llama", 0)
    prompt = read(model, some_ids(5))
    capture = Counting()
    trunk, rows = GraphTrunk(model, capture), RowsTrunk(model)
    opened = [(trunk.open(prompt, 5, 20, is_adapted=False), rows.open(prompt, 5, 20, is_adapted=False)) for _ in "abc"]
    earlier = []
    for n in range(4):
        for places in (opened[:1], opened, opened[1:]):
            tokens = [5 + n + m for m, _ in enumerate(places)]
            ours = trunk.hidden([slot for slot, _ in places], tokens)
            earlier.append((ours, rows.hidden([row for _, row in places], tokens)))
    assert capture.captures == 1
    for ours, theirs in earlier:  # what a step returned is not written over by the next
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    trunk.close(opened[2][0])
    trunk.close(opened[1][0])
    trunk.hidden([opened[0][0]], [9])
    assert capture.captures == 2  # one slot is enough now


SYNCS = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero", "unique", "masked_select", "bincount")


class NoSyncs(TorchDispatchMode):
    """Refuses operators that make the host wait for the device, and copies from one to the other."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        flat = tree_leaves((args, kwargs))
        by_mask = name.startswith("index") and any(isinstance(t, torch.Tensor) and t.dtype == torch.bool for t in flat)
        assert name not in SYNCS and not by_mask, f"{name} waits for the device"
        found = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_"):
            source = args[1] if name == "copy_" else args[0]
            assert source.device == found.device, f"{name} goes from {source.device} to {found.device}"
        return found


def test_the_check_for_syncs_sees_them() -> None:
    for wait in (lambda t: int(t[0]), lambda t: bool(t.any()), torch.nonzero, lambda t: t[t > 1]):
        with pytest.raises(AssertionError, match="waits"), NoSyncs():
            wait(torch.ones(3))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_captured_step_never_waits_for_the_device(family: str) -> None:
    model = adapted_twin(tiny.model(family)) if family != "cohere2" else tiny.unchanged(family, 0)
    trunk = GraphTrunk(model, Plain())
    places = [trunk.open(read(model, some_ids(20)), 20, 10, is_adapted=bool(n)) for n in range(2)]
    trunk.hidden(places, [5, 6])
    with torch.inference_mode(), NoSyncs():
        trunk._steps[2]()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_stays_on_its_device(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device that keeps no values: every shape is known, no value is read, nothing comes from the host."""
    model = tiny.model(family).to("meta", torch.bfloat16)
    prompt = DynamicCache(config=model.config)
    model.base_model(input_ids=torch.zeros(1, 20, dtype=torch.long, device="meta"), past_key_values=prompt)
    trunk = GraphTrunk(model, Plain())
    trunk._slots.open(prompt, 20, 10, is_adapted=False)
    trunk._inputs = torch.zeros(4, 1, dtype=torch.long, device="meta")
    monkeypatch.setattr(graph_trunk, "put_fused_norms", lambda tree: None)  # their trial reads values
    assert trunk._layers is trunk._layers
    with torch.inference_mode(), NoSyncs():
        found = trunk._run(1)
    assert found.device.type == "meta" and found.shape == (1, 32) and found.dtype == torch.bfloat16


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=12), Sampling(1.0, 0.9, 1.2, 12, 3)])
def test_an_engine_over_slots_writes_what_one_over_rows_writes(family: str, sampling: Sampling) -> None:
    model = tiny.unchanged(family, 0)

    def pieces(trunk: Trunk) -> list:
        stepper = Stepper(model, threading.Lock())
        stepper._trunk = trunk
        engine = LocalEngine(model, tiny.tokenizer(), name="e", ends=frozenset({1, 3}), stepper=stepper, side="base")
        prompts = [engine.encode(text) for text in ("short", "another text of some length, past the window", "x")]
        return list(zip(*(engine.generate(ids, sampling) for ids in prompts), strict=False))

    slots = GraphTrunk(model, Plain(), kept_bytes=0)
    assert pieces(slots) == pieces(RowsTrunk(model))
    assert slots._slots.bytes == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("family", "made"), [("llama", RmsNorm), ("qwen2", RmsNorm), ("gemma3", OffsetRmsNorm)])
def test_a_norm_in_one_kernel_gives_what_the_familys_gives(family: str, made: type, dtype: torch.dtype) -> None:
    norm = tiny.model(family).base_model.layers[0].input_layernorm.to(dtype)
    with torch.no_grad():
        norm.weight += torch.linspace(-0.5, 0.5, 32)
    fused = fused_norm(norm)
    assert type(fused) is made
    x = torch.randn(3, 1, 32, dtype=dtype, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fused(x), norm(x))


def test_a_norm_of_another_kind_stays() -> None:
    layer_norm = tiny.model("cohere2").base_model.layers[0].input_layernorm
    assert fused_norm(layer_norm) is layer_norm
    unlike = type("HalvedRMSNorm", (RmsNorm,), {"forward": lambda self, x: RmsNorm.forward(self, x) / 2})
    norm = unlike(torch.nn.Parameter(torch.ones(8), requires_grad=False), 1e-6)
    assert fused_norm(norm) is norm


def test_slots_come_in_powers_of_two() -> None:
    assert [next_power(count) for count in (1, 2, 3, 4, 5, 8, 9, 16, 17)] == [1, 2, 4, 4, 8, 8, 16, 16, 32]


def test_only_plain_models_on_one_gpu_get_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama")
    assert isinstance(trunk_for(model), RowsTrunk) and not trunks.suits_graphs(model)
    monkeypatch.setattr(trunks, "GRAPH_DEVICES", ("cpu",))  # as if it were one
    assert trunks.suits_graphs(model)
    model.model.norm.to("meta")
    assert not trunks.suits_graphs(model)
    model = tiny.model("llama")
    model.hf_quantizer = object()
    assert not trunks.suits_graphs(model)
    model = tiny.model("llama")
    model.model.layers[0]._hf_hook = object()
    assert not trunks.suits_graphs(model)
    model = tiny.model("llama")
    monkeypatch.setattr(type(model), "_can_compile_fullgraph", False)
    assert not trunks.suits_graphs(model)


def test_a_step_that_cannot_be_captured_runs_as_it_is_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = CudaGraphs(torch.device("cuda"))

    def refuse(step: Step) -> Step:
        raise torch.OutOfMemoryError("CUDA out of memory\nand more")

    monkeypatch.setattr(graphs, "_captured", refuse)
    model = tiny.unchanged("llama", 0)
    twin = Twin(model)
    twin.slots._capture = graphs
    for length in (5, 30):  # the second voids what there is, and would be captured anew
        place = twin.open(length, 4)
        twin.step([place], 5)
        twin.close(place)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "CUDA out of memory" in record.message and "\n" not in record.message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: CUDA graphs were not tried")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_replayed_graph_gives_what_the_step_gives(family: str) -> None:
    model = tiny.model(family).to("cuda", torch.float32)
    with torch.inference_mode():
        prompt = DynamicCache(config=model.config)
        ids = torch.tensor([some_ids(20)], device="cuda")
        model.base_model(input_ids=ids, past_key_values=prompt, use_cache=True)
    graphs = CudaGraphs(model.device)
    trunks = [GraphTrunk(model, graphs), GraphTrunk(model, Plain())]
    opened = [[trunk.open(prompt, 20, 30, is_adapted=False) for _ in range(3)] for trunk in trunks]
    for n in range(20):
        one, other = (
            trunk.hidden(places[: 1 + n % 3], [5 + n + m for m in range(1 + n % 3)])
            for trunk, places in zip(trunks, opened, strict=True)
        )
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert graphs._works
