"""Which kind of runner a model gets: CUDA graphs on a GPU, compiled loops on a processor, else transformers' layers.

Quantised layers have kernels of their own that were never tried in a capture, and a model over several devices copies
between them: both run as they are.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any

import torch
from transformers import PreTrainedModel

from urial.engines.local.cuda_graph_runner import CudaGraphRunner
from urial.engines.local.family_trial import Make, first_that_fits
from urial.engines.local.futures import begin
from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Runner
from urial.engines.local.sequence import SharedModel
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner, attends_plainly

log = logging.getLogger(__name__)

COMPILED_FAMILIES = ("gemma3_text",)
WORTH_COMPILING = 2**24  # weights; for fewer, a compiler's seconds are not won back
KEPT_PREFIXES = 12  # of both sides: constant beginnings of the methods in use, and the prompts of running comparisons


def shared_model(model: PreTrainedModel, name: str = "", worth_compiling: int = WORTH_COMPILING) -> SharedModel:
    """The weights as the scheduler sees them; `model` carries the adapter where there is one.

    Models of at least `worth_compiling` weights may get compiled loops, which are made at once, in the background; what
    else there is needs the model's device and is made when it is first used. `name` is for messages.
    """
    prefixes = PrefixCache(KEPT_PREFIXES)
    if supports_gemma_cpu(model, worth_compiling):
        return SharedModel(begin(lambda: gemma_cpu_runner(model) or torch_runner(model, name)), prefixes)
    return SharedModel(Future(), prefixes, make=lambda: torch_runner(model, name))


def torch_runner(model: PreTrainedModel, name: str) -> Runner[Any]:
    """What reads a short text as the family's own forward does. Raises WeightsError where nothing does."""
    kinds: list[Make] = [TorchRunner, SequentialRunner] if attends_plainly(model) else [SequentialRunner]
    return first_that_fits(model, [CudaGraphRunner, *kinds] if supports_cuda_graphs(model) else kinds, name)


def supports_cuda_graphs(model: PreTrainedModel, device_type: str = "cuda") -> bool:
    """Plain weights on one GPU, in a family whose forward never asks for a tensor's value."""
    devices = {parameter.device for parameter in model.parameters()}
    on_one = len(devices) == 1 and next(iter(devices)).type == device_type
    is_plain = getattr(model, "hf_quantizer", None) is None
    is_hooked = any(hasattr(module, "_hf_hook") for module in model.modules())  # accelerate moves tensors there
    is_quiet = getattr(model, "_can_compile_fullgraph", False) and getattr(model, "_supports_attention_backend", False)
    return on_one and is_plain and not is_hooked and bool(is_quiet) and attends_plainly(model)


def supports_gemma_cpu(model: PreTrainedModel, worth_compiling: int) -> bool:
    """Float32 on a processor, large enough, and of a family that has loops."""
    on_processor = model.device.type == "cpu" and model.dtype == torch.float32
    has_loops = model.config.get_text_config().model_type in COMPILED_FAMILIES
    return on_processor and has_loops and sum(p.numel() for p in model.parameters()) >= worth_compiling


def gemma_cpu_runner(model: PreTrainedModel) -> Runner[Any] | None:
    """Compiled loops; None where the weights do not pack or this machine cannot compile, or has no room."""
    try:
        from urial.engines.local.gemma_cpu.runner import packed_runner  # a compiler is imported only where it is of use

        return packed_runner(model)
    except (ImportError, RuntimeError, OSError, MemoryError):
        log.warning("the layers' loops could not be made; steps go through transformers' layers", exc_info=True)
        return None
