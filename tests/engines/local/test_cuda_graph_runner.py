"""Decoding in slots against decoding over caches of their own, on tiny random models and without a GPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from tests.engines.local.test_engine import adapted_twin
from tests.support import tiny
from tests.support.runners import chosen, engine_over, until
from urial.engines.base import Sampling
from urial.engines.local.choose_runner import supports_cuda_graphs
from urial.engines.local.cuda_graph_runner import CudaGraphRunner, Graphs
from urial.engines.local.runner import Chunk, Prefix
from urial.engines.local.torch_runner import TorchRunner
from urial.errors import EngineError

FAMILIES = ("llama", "gemma3", "qwen2", "cohere2")  # gemma2 caps its scores: it runs one sequence at a time


class Plain:
    """Counts captures; a replay runs the step, as a graph would, and returns the same tensor."""

    def __init__(self) -> None:
        self.captures = 0

    def __call__(self, step):
        self.captures += 1
        self.newest = step
        found = step().clone()
        return lambda: found.copy_(step())

    def clear(self) -> None:
        """No step that was captured so far will run again."""


def in_slots(model: PreTrainedModel, **options: object) -> CudaGraphRunner:
    """Room grows by 8 positions, so that small answers make it grow."""
    return CudaGraphRunner(model, **{"capture": Plain(), "length_step": 8, "kept_bytes": 0, **options})


def some_ids(length: int, seed: int = 0) -> list[int]:
    return torch.randint(4, 400, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


class Twin:
    """The same sequences in slots and in caches of their own: every step is compared."""

    def __init__(self, model: PreTrainedModel, **options: object) -> None:
        self.slots, self.own = in_slots(model, **options), TorchRunner(model)

    def open(self, length: int, room: int, adapter: float = 0.0, seed: int = 0) -> tuple:
        ids = some_ids(length, seed)
        caches = [runner.open(length + room, None) for runner in (self.slots, self.own)]
        for runner, cache in zip((self.slots, self.own), caches, strict=True):
            runner.forward([Chunk(cache, ids, 0, adapter)])
        return (*caches, adapter)

    def step(self, going: list[tuple], token: int, count: int = 1) -> list[torch.Tensor]:
        found = []
        for which, runner in ((0, self.slots), (1, self.own)):
            texts = [list(range(token + n, token + n + count)) for n in range(len(going))]
            pairs = zip(going, texts, strict=True)
            found.append(runner.forward([Chunk(each[which], text, count, each[2]) for each, text in pairs]))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
        return list(found[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 15, 16, 40])
def test_one_answer_is_the_same_in_a_slot(family: str, length: int) -> None:
    """Prompts shorter than, as long as and longer than the sliding window of 16, and answers that pass it."""
    twin = Twin(tiny.unchanged(family, 0))
    going = [twin.open(length, 18)]
    for n in range(18):
        twin.step(going, 5 + n)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_come_and_go_slots_are_used_again_and_room_grows(family: str) -> None:
    twin = Twin(tiny.unchanged(family, 0))
    first, second = twin.open(20, 30), twin.open(3, 40, seed=1)
    for n in range(6):
        twin.step([first, second], 5 + n)
    twin.slots.close(first[0])
    third = twin.open(50, 40, seed=2)
    for n in range(6):
        twin.step([second, third], 50 + n)
    assert third[0].index == 0
    more = [twin.open(length, 10, seed=length) for length in (4, 6, 7)]
    twin.step([second, *more, third], 70)
    twin.step([second, *more, third], 80, count=3)  # several tokens of an answer at once
    for n in range(5):
        twin.step([third], 90 + n)  # the others ride along and do not move
    twin.step([more[1], second], 30)


def test_one_who_has_no_more_tokens_rides_along_behind_its_last() -> None:
    twin = Twin(tiny.unchanged("gemma3", 0))
    one, other = twin.open(20, 30), twin.open(7, 30, seed=1)
    twin.step([one, other], 5)
    for which, runner in ((0, twin.slots), (1, twin.own)):
        runner.forward([Chunk(one[which], [5, 6, 7], 1, 0.0), Chunk(other[which], [9], 1, 0.0)])
    twin.step([one, other], 11)


def test_prompts_and_answers_share_a_batch() -> None:
    twin = Twin(tiny.unchanged("gemma3", 0))
    going, new = twin.open(9, 10), [runner.open(40, None) for runner in (twin.slots, twin.own)]
    twin.step([going], 5)
    pairs = [
        runner.forward([Chunk(going[which], [7], 1, 0.0), Chunk(new[which], some_ids(30), 2, 0.0)])
        for which, runner in ((0, twin.slots), (1, twin.own))
    ]
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["gemma3", "llama"])
def test_the_adapters_factor_goes_with_the_answer(family: str) -> None:
    twin = Twin(adapted_twin(tiny.model(family)))
    base, half, aligned = (twin.open(20, 20, factor) for factor in (0.0, 0.5, 1.0))
    found = twin.step([base, half, aligned], 5)
    assert not torch.allclose(found[0], found[2], atol=1e-3)
    for n in range(3):
        twin.step([base, aligned], 6 + n)
        twin.step([half], 8 + n)
    twin.slots.close(base[0])
    other = twin.open(9, 5, 1.0, seed=3)
    twin.step([other, aligned], 40)
    assert other[0].index == 0


def test_where_memory_is_full_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = Twin(tiny.unchanged("gemma3", 0))
    going = twin.open(20, 30)
    twin.step([going], 5)
    large, new_zeros, calls = twin.open(70, 30, seed=1), torch.Tensor.new_zeros, []

    def full(tensor: torch.Tensor, *shape: int) -> torch.Tensor:
        calls.append(shape)
        if len(calls) == 2:  # of the layers, the first has its new room already
            raise torch.OutOfMemoryError("CUDA out of memory")
        return new_zeros(tensor, *shape)

    monkeypatch.setattr(torch.Tensor, "new_zeros", full)
    with pytest.raises(EngineError, match="memory is full"):
        twin.slots.forward([Chunk(large[0], [9], 1, 0.0)])
    for n in range(5):
        twin.step([going], 6 + n)
    twin.step([going, large], 16)  # now there is room again


@torch.inference_mode()
def test_a_slot_forgets_what_was_not_finite() -> None:
    twin = Twin(tiny.unchanged("llama", 0))
    broken, other = twin.open(6, 20), twin.open(6, 20)
    twin.step([broken, other], 4)
    twin.slots._layers[0][1][broken[0].index].fill_(float("nan"))  # as a kernel's fault would
    twin.step([other], 5)
    twin.slots.close(broken[0])
    again = twin.open(4, 3)
    twin.step([again, other], 6)
    assert again[0].index == broken[0].index


def test_a_prefix_stays_as_it_is() -> None:
    runner, own = in_slots(tiny.unchanged("gemma3", 0)), TorchRunner(tiny.unchanged("gemma3", 0))
    kept, plain = runner.open(20, None), own.open(20, None)
    for each, cache in ((runner, kept), (own, plain)):
        each.forward([Chunk(cache, some_ids(20), 0, 0.0)])
    for _ in range(2):
        caches = runner.open(30, Prefix(kept, 20)), own.open(30, Prefix(plain, 20))
        for token in (5, 6, 7):
            (ours,) = runner.forward([Chunk(caches[0], [token], 1, 0.0)])
            (theirs,) = own.forward([Chunk(caches[1], [token], 1, 0.0)])
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)


def test_a_step_is_captured_once_for_each_number_of_slots() -> None:
    capture = Plain()
    twin = Twin(tiny.unchanged("llama", 0), capture=capture)
    opened = [twin.open(5, 20, seed=n) for n in range(3)]
    twin.step(opened, 5)
    for n in range(4):
        for going in (opened[:1], opened, opened[1:]):
            twin.step(going, 6 + n)
    assert capture.captures == 1
    for each in opened[1:]:
        twin.slots.close(each[0])
    twin.step(opened[:1], 9)
    assert capture.captures == 2  # one slot is enough now


def test_threads_share_slots_without_mixing_answers() -> None:
    model = tiny.unchanged("gemma3", 0)
    engines = [engine_over(runner, model) for runner in (in_slots(model), TorchRunner(model))]
    prompts = [engines[0].encode("text number " * n) for n in range(1, 9)]

    def answers(engine) -> list[list[int]]:
        def answer(ids: list[int]) -> list[int]:
            return [piece.id for piece in engine.generate(ids, Sampling(1.0, 0.9, 1.2, len(ids) % 7 + 5, 3))]

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(answer, prompts))

    assert answers(engines[0]) == answers(engines[1])
    until(lambda: engines[0].held().sequences == 0)


# What CUDA graphs need


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
    capture = Plain()
    model = adapted_twin(tiny.model(family)) if family != "cohere2" else tiny.unchanged(family, 0)
    twin = Twin(model, capture=capture)
    twin.step([twin.open(20, 10), twin.open(20, 10, 1.0)], 5)
    with torch.inference_mode(), NoSyncs():
        capture.newest()


def test_only_plain_models_on_one_gpu_get_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama")
    assert type(chosen(model)) is TorchRunner and not supports_cuda_graphs(model)
    assert supports_cuda_graphs(model, "cpu")  # as if it were one
    model.model.norm.to("meta")
    assert not supports_cuda_graphs(model, "cpu")
    assert not supports_cuda_graphs(tiny.model("gemma2"), "cpu")
    model = tiny.model("llama")
    model.hf_quantizer = object()
    assert not supports_cuda_graphs(model, "cpu")
    model = tiny.model("llama")
    model.model.layers[0]._hf_hook = object()
    assert not supports_cuda_graphs(model, "cpu")
    model = tiny.model("llama")
    monkeypatch.setattr(type(model), "_can_compile_fullgraph", False)
    assert not supports_cuda_graphs(model, "cpu")


def test_a_step_that_cannot_be_captured_runs_as_it_is_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Graphs, step: object) -> None:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory\nand more")
        finally:
            raise RuntimeError("a capture that was broken has ended")

    monkeypatch.setattr(Graphs, "captured", refuse)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.inference_mode())
    twin = Twin(tiny.unchanged("llama", 0), capture=None)
    for length in (5, 30):  # the second voids what there is, and would be captured anew
        going = twin.open(length, 4)
        twin.step([going], 5)
        twin.slots.close(going[0])
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "CUDA out of memory" in record.message and "\n" not in record.message


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: CUDA graphs were not tried")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_replayed_graph_gives_what_the_step_gives(family: str) -> None:
    model = tiny.model(family).to("cuda", torch.float32)
    twin = Twin(model, capture=None)
    opened = [twin.open(20, 30, seed=n) for n in range(3)]
    for n in range(20):
        twin.step(opened[: 1 + n % 3], 5 + n)
