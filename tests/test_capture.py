"""What CUDA graphs need of a step, tried without a GPU: no waits, no copies, one capture; which models get them."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import DynamicCache

from tests import tiny
from tests.test_graph_trunk import FAMILIES, Twin, read, some_ids
from tests.test_local_engine import adapted_twin
from urial.engines import graph_trunk, trunks
from urial.engines.capture import CudaGraphs, Plain, Step
from urial.engines.graph_trunk import GraphTrunk
from urial.engines.norms import OffsetRmsNorm, RmsNorm, fused_norm
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.trunks import trunk_for


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


def test_only_plain_models_on_one_gpu_get_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("llama")
    assert isinstance(trunk_for(model).result(), RowsTrunk) and not trunks.suits_graphs(model)
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
        try:
            raise torch.OutOfMemoryError("CUDA out of memory\nand more")
        finally:
            raise RuntimeError("a capture that was broken has ended")

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
