"""Our own kernels for a GPU against float64 and against the families' layers: on a GPU where there is one, elsewhere
through Triton's interpreter, which knows no bfloat16."""

from __future__ import annotations

import copy
import gc
import importlib
import os
import weakref
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from tests.support import tiny, tiny_families
from urial.engines.local import cuda_graph_runner
from urial.engines.local.choose_runner import supports_cuda_graphs
from urial.engines.local.cuda_graph_runner import CudaGraphRunner, Graphs
from urial.engines.local.on_gpu import kernels as choice
from urial.engines.local.on_gpu import rotary
from urial.engines.local.on_gpu.joined_linears import JoinedPart, join_linears
from urial.engines.local.on_gpu.norms import KernelNorm, options_of, put_kernel_norms
from urial.engines.local.on_gpu.rotary import put_kernel_rotary
from urial.engines.local.runner import Chunk
from urial.weights.adapters import share_tensors

pytest.importorskip("triton", reason="Triton comes with a GPU's torch, or from requirements-dev.txt")

HAS_GPU = torch.cuda.is_available()
if not HAS_GPU and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("a GPU that torch cannot use: set TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = torch.device("cuda", 0) if HAS_GPU else torch.device("cpu")
DTYPES = [torch.float32, torch.float16, *([torch.bfloat16] if HAS_GPU else [])]
OFF = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="no GPU here")


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    return importlib.import_module("urial.engines.local.on_gpu.triton_kernels")


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).to(DEVICE)


# Each kernel


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("slots", "groups", "heads", "size", "room", "window"),
    [(1, 2, 4, 64, 128, None), (3, 2, 1, 40, 300, None), (2, 4, 3, 128, 200, 50), (4, 1, 20, 8, 64, 7)],
)
def test_a_slot_attends_to_what_its_position_sees(
    kernels: ModuleType, dtype: torch.dtype, slots: int, groups: int, heads: int, size: int, room: int, window: int
) -> None:
    query = random(slots, groups * heads, 1, size, dtype=dtype)
    keys, values = (random(slots, groups, room, size, dtype=dtype, seed=seed) for seed in (1, 2))
    positions = torch.tensor([[0], [room - 1], [room // 2], [63]][:slots], device=DEVICE)
    found = kernels.attend(keys, values, positions, window, query, None)
    assert found.shape == (slots, 1, groups * heads, size) and found.dtype == dtype
    for slot, (position,) in enumerate(positions.tolist()):
        seen = slice(max(0, position + 1 - (window or room)), position + 1)
        parts = [each[slot : slot + 1].double() for each in (query, keys[:, :, seen], values[:, :, seen])]
        exact = functional.scaled_dot_product_attention(*parts, enable_gqa=True).transpose(1, 2)
        torch.testing.assert_close(found[slot : slot + 1].double(), exact, atol=OFF[dtype], rtol=OFF[dtype])


def test_what_lies_behind_a_position_is_not_read(kernels: ModuleType) -> None:
    """A slot that was given out before holds another answer's numbers there, or none at all."""
    query, keys, values = (random(1, 2, length, 16, dtype=torch.float32) for length in (1, 200, 200))
    positions = torch.tensor([[70]], device=DEVICE)
    wanted = kernels.attend(keys, values, positions, None, query, 0.5)
    for room in (keys, values):
        room[:, :, 71:] = torch.nan
    assert torch.equal(kernels.attend(keys, values, positions, None, query, 0.5), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_new_positions_are_written_and_no_others(kernels: ModuleType, dtype: torch.dtype) -> None:
    room = random(3, 2, 10, 24, dtype=dtype), random(3, 2, 10, 24, dtype=dtype, seed=1)
    before = [each.clone() for each in room]
    keys, values = (random(3, 2, 1, 24, dtype=dtype, seed=seed) for seed in (2, 3))
    positions = torch.tensor([[0], [9], [4]], device=DEVICE)
    kernels.write(keys, values, room, positions)
    for found, old, new in zip(room, before, (keys, values), strict=True):
        for slot, (position,) in enumerate(positions.tolist()):
            old[slot, :, position] = new[slot, :, 0]
        assert torch.equal(found, old)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "options"),
    [(LlamaRMSNorm, {"from_one": False, "rounds": True}), (Gemma3RMSNorm, {"from_one": True, "rounds": False})],
)
def test_a_norm_is_the_familys(kernels: ModuleType, dtype: torch.dtype, kind: type, options: dict[str, bool]) -> None:
    norm = kind(48, eps=1e-5).to(DEVICE, dtype)
    norm.weight.data = random(48, dtype=dtype, seed=1)
    states = random(2, 5, 48, dtype=dtype)[:, 1:4]
    spacing = torch.finfo(dtype).eps
    found = kernels.rms_norm(states, norm.weight, 1e-5, **options)
    torch.testing.assert_close(found, norm(states), rtol=2 * spacing, atol=spacing)
    chosen = options_of(norm, kernels)
    assert chosen is not None and chosen["from_one"] == options["from_one"]
    if dtype != torch.float32:  # there rounding changes nothing
        assert chosen == options


def test_another_kind_of_norm_is_left_as_it_is(kernels: ModuleType) -> None:
    class HalfRMSNorm(LlamaRMSNorm):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return super().forward(states) / 2

    tree = nn.Sequential(HalfRMSNorm(16), LlamaRMSNorm(16), nn.LayerNorm(16)).to(DEVICE)
    put_kernel_norms(tree, kernels)
    assert [type(each) for each in tree] == [HalfRMSNorm, KernelNorm, nn.LayerNorm]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slots", [1, 3])
def test_positions_are_turned_to_the_last_bit(kernels: ModuleType, dtype: torch.dtype, slots: int) -> None:
    query = random(2, 3, 10, 16, dtype=dtype).transpose(1, 2)
    key = random(2, 3, 4, 16, dtype=dtype, seed=1)[:, :, :2].transpose(1, 2)  # a part of a joined product
    angles = [random(slots - 1 or 1, 3, 16, dtype=dtype, seed=seed) for seed in (2, 3)]
    for found, wanted in zip(
        kernels.rotate(query, key, *angles), apply_rotary_pos_emb(query, key, *angles), strict=True
    ):
        assert torch.equal(found, wanted)


# Whole models


def layers_with_kernels(model: PreTrainedModel, kernels: ModuleType) -> CudaGraphRunner:
    """As a GPU gets them; on a processor without joined linear layers, which have a form of their own there."""
    runner = CudaGraphRunner(model) if HAS_GPU else CudaGraphRunner(model, capture=AsTheyAre(model.device))
    if not HAS_GPU:
        put_kernel_norms(runner._torch.layers, kernels)
        put_kernel_rotary(runner._torch.layers, kernels)
    return runner


class AsTheyAre(Graphs):
    """No step is captured."""

    def __call__(self, step):
        return step


def logits_in_a_slot(runner: CudaGraphRunner, ids: list[int], read: int) -> torch.Tensor:
    """Of all positions; those behind the first `read` one by one."""
    cache = runner.open(len(ids), None)
    (rows,) = runner.forward([Chunk(cache, ids[:read], read, 0.0)])
    return torch.cat([rows, *(runner.forward([Chunk(cache, [token], 1, 0.0)])[0] for token in ids[read:])])


@pytest.mark.parametrize("family", tiny_families.DECODERS)
def test_a_familys_answer_is_its_own(family: str, kernels: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past windows of eight positions, with all kernels in place."""
    monkeypatch.setattr(cuda_graph_runner, "kernels_for", lambda device: kernels)
    model = tiny_families.decoder(family).to(DEVICE)
    ids = torch.randint(4, 400, (14,), generator=torch.Generator().manual_seed(0)).tolist()
    wanted = model(torch.tensor([ids], device=DEVICE)).logits[0].float()
    runner = layers_with_kernels(model, kernels)
    modules = list(runner._torch.layers.modules())
    assert any(isinstance(each, KernelNorm) for each in modules) and any(
        type(each).__module__ == rotary.__name__ for each in modules
    )
    torch.testing.assert_close(logits_in_a_slot(runner, ids, 11), wanted, atol=2e-4, rtol=1e-4)
    assert torch.equal(model(torch.tensor([ids], device=DEVICE)).logits[0].float(), wanted)  # its own tree is as it was


def test_a_runner_goes_with_its_last_reference(kernels: ModuleType) -> None:
    """The next pair needs its place on the card at once."""
    runner = layers_with_kernels(tiny_families.decoder("SmolLM2").to(DEVICE), kernels)
    layer = weakref.ref(runner._torch.layers)
    gc.disable()
    try:
        del runner
        assert layer() is None
    finally:
        gc.enable()


@needs_gpu
@pytest.mark.parametrize("family", tiny_families.DECODERS)
def test_a_familys_answer_in_bfloat16_is_its_own(family: str) -> None:
    model = tiny_families.decoder(family, torch.bfloat16).to(DEVICE)
    ids = torch.randint(4, 400, (24,), generator=torch.Generator().manual_seed(0)).tolist()
    wanted = model(torch.tensor([ids], device=DEVICE)).logits[0].float()
    runner = CudaGraphRunner(model)
    modules = list(runner._torch.layers.modules())
    for kind in (KernelNorm, JoinedPart):
        assert any(isinstance(each, kind) for each in modules)
    assert any(type(each).__module__ == rotary.__name__ for each in modules)
    found = logits_in_a_slot(runner, ids, 14)
    assert float((found - wanted).norm() / wanted.norm()) < 0.02


@needs_gpu
def test_kernels_run_on_this_gpu() -> None:
    assert choice.kernels_for(DEVICE) is not None


def test_a_processor_has_no_such_kernels() -> None:
    assert choice.kernels_for(torch.device("cpu")) is None


def test_kernels_that_do_not_run_are_left_out_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_compiler(kernels: ModuleType, device: torch.device, dtype: torch.dtype) -> bool:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one")

    monkeypatch.setattr(choice, "attends_alike", without_compiler)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert choice.kernels_for.__wrapped__(torch.device("cuda")) is None
    (record,) = caplog.records
    assert "Failed to find C compiler" in record.message and "\n" not in record.message


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_look_compares_with_torch(kernels: ModuleType, dtype: torch.dtype) -> None:
    assert choice.attends_alike(kernels, DEVICE, dtype)


# Joined linear layers


def a_layer(bias: bool) -> nn.ModuleDict:
    torch.manual_seed(0)
    sizes = {"q_proj": 8, "k_proj": 4, "v_proj": 4, "o_proj": 8}
    return nn.ModuleDict({name: nn.Linear(6, size, bias=bias) for name, size in sizes.items()})


@pytest.mark.parametrize("bias", [False, True])
def test_joined_layers_give_the_same_and_hold_nothing_twice(bias: bool) -> None:
    own = a_layer(bias)
    wanted = copy.deepcopy(own)
    tree = share_tensors(own)
    join_linears(tree)
    states = torch.randn(2, 3, 6)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        torch.testing.assert_close(tree[name](states), wanted[name](states))
        torch.testing.assert_close(own[name](states), wanted[name](states))
        assert own[name].weight is tree[name].weight
    start, size = own["q_proj"].weight.data_ptr(), own["q_proj"].weight.nbytes
    assert own["k_proj"].weight.data_ptr() == start + size
    assert tree["q_proj"]._joined._weight.data_ptr() == start
    assert tree["q_proj"]._joined._states is None  # nothing of a pass is kept


def test_layers_that_were_joined_are_not_joined_again() -> None:
    own = a_layer(bias=True)
    first, second = share_tensors(own), share_tensors(own)
    join_linears(first)
    join_linears(second)
    held = [tree["q_proj"]._joined for tree in (first, second)]
    assert held[0]._weight.data_ptr() == held[1]._weight.data_ptr() and held[0]._bias.shape == held[1]._bias.shape
    states = torch.randn(2, 6)
    for name in ("q_proj", "k_proj", "v_proj"):
        assert torch.equal(first[name](states), second[name](states))


def test_weights_can_be_trained_after_they_were_joined() -> None:
    own = a_layer(bias=False)
    with torch.inference_mode():
        join_linears(share_tensors(own))
    own["q_proj"](torch.randn(2, 6)).sum().backward()
    assert own["q_proj"].weight.grad is not None


def test_other_states_are_not_taken_for_the_same() -> None:
    tree = a_layer(bias=False)
    wanted = copy.deepcopy(tree)
    join_linears(tree)
    first, second = torch.randn(1, 6), torch.randn(1, 6)
    tree["q_proj"](first)  # a pass that broke off here
    for name in ("q_proj", "k_proj", "v_proj"):
        torch.testing.assert_close(tree[name](second), wanted[name](second))


def test_layers_that_are_not_alike_stay_apart() -> None:
    tree = a_layer(bias=False)
    tree["v_proj"] = nn.Linear(6, 4, bias=True)
    join_linears(tree)
    assert not any(isinstance(each, JoinedPart) for each in tree.modules())


# Four bits a weight


@needs_gpu
def test_steps_in_nf4_are_captured() -> None:
    pytest.importorskip("bitsandbytes")
    from urial.bench.quantised import as_nf4

    model = as_nf4(tiny.model("llama").to(DEVICE, torch.bfloat16), "bfloat16", str(DEVICE))
    assert supports_cuda_graphs(model)
    ids = torch.randint(4, 400, (24,), generator=torch.Generator().manual_seed(0)).tolist()
    wanted = model(torch.tensor([ids], device=DEVICE)).logits[0].float()
    runner = CudaGraphRunner(model)
    found = logits_in_a_slot(runner, ids, 14)
    assert float((found - wanted).norm() / wanted.norm()) < 0.05
    assert runner.captures
