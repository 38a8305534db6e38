"""Which kind of runner a model gets: CUDA graphs on a GPU, compiled loops on a processor, else transformers' layers.

Layers of eight bits look at values on their way, and a model over several devices copies between them: both run as they
are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from transformers import PreTrainedModel

from urial.engines.compile_ahead import WORTH_COMPILING
from urial.engines.local.cuda_graph_runner import CudaGraphRunner
from urial.engines.local.family_trial import Make, first_that_fits
from urial.engines.local.prefix_cache import PrefixCache
from urial.engines.local.runner import Runner
from urial.engines.local.sequence import SharedModel
from urial.engines.local.torch_runner import SequentialRunner, TorchRunner, attends_plainly

log = logging.getLogger(__name__)
T = TypeVar("T")

KEPT_PREFIXES = 12  # of both sides: constant beginnings of the methods in use, and the prompts of running comparisons


def shared_model(model: PreTrainedModel, name: str = "", worth_compiling: int = WORTH_COMPILING) -> SharedModel:
    """The weights as the scheduler sees them; `model` carries the adapter where there is one.

    Models of at least `worth_compiling` weights may get compiled loops, which are made at once, in the background; what
    else there is needs the model's device and is made when it is first used. `name` is for messages.
    """
    prefixes = PrefixCache(KEPT_PREFIXES)
    if supports_compiled_cpu(model, name, worth_compiling):
        kinds = [compiled_cpu_runner, *torch_kinds(model)]
        return SharedModel(begin(lambda: first_that_fits(model, kinds, name)), prefixes)
    return SharedModel(Future(), prefixes, make=lambda: first_that_fits(model, torch_kinds(model), name))


def torch_kinds(model: PreTrainedModel) -> list[Make]:
    """What may run transformers' layers, the quickest first."""
    kinds: list[Make] = [TorchRunner, SequentialRunner] if attends_plainly(model) else [SequentialRunner]
    return [CudaGraphRunner, *kinds] if supports_cuda_graphs(model) else kinds


def supports_cuda_graphs(model: PreTrainedModel, device_type: str = "cuda") -> bool:
    """Plain weights, or those of four bits, on one GPU, in a family whose forward never asks for a tensor's value."""
    devices = {parameter.device for parameter in model.parameters()}
    on_one = len(devices) == 1 and next(iter(devices)).type == device_type
    is_plain = getattr(model, "hf_quantizer", None) is None or has_four_bits(model)
    is_hooked = any(hasattr(module, "_hf_hook") for module in model.modules())  # accelerate moves tensors there
    is_quiet = getattr(model, "_can_compile_fullgraph", False) and getattr(model, "_supports_attention_backend", False)
    return on_one and is_plain and not is_hooked and bool(is_quiet) and attends_plainly(model)


def has_four_bits(model: PreTrainedModel) -> bool:
    """nf4, or fp4: bitsandbytes' kernels for these can be captured."""
    asked = getattr(model.config, "quantization_config", None)
    return bool(getattr(asked, "load_in_4bit", False))


def supports_compiled_cpu(model: PreTrainedModel, name: str, worth_compiling: int) -> bool:
    """On a processor, large enough, and of a family that has loops; the log says what is missing."""
    if model.device.type != "cpu" or sum(p.numel() for p in model.parameters()) < worth_compiling:
        return False
    try:
        from urial.engines.local.compiled_cpu.families import why_not  # a compiler is imported only where it is of use
    except ImportError:
        log.warning("loops cannot be compiled here; steps go through transformers' layers", exc_info=True)
        return False
    reason = why_not(model)
    if reason is not None:
        log.info("%s runs through transformers' layers: %s", name or "the model", reason)
    return reason is None


def compiled_cpu_runner(model: PreTrainedModel) -> Runner[Any] | None:
    """Compiled loops; None where this machine cannot compile or has no room."""
    try:
        from urial.engines.local.compiled_cpu.runner import CompiledCpuRunner

        return CompiledCpuRunner(model)
    except (ImportError, RuntimeError, OSError, MemoryError):
        log.warning("the layers' loops could not be made; steps go through transformers' layers", exc_info=True)
        return None


def begin(job: Callable[[], T]) -> Future[T]:
    """What `job` gives, made in a thread of its own beside whatever comes next."""
    pool = ThreadPoolExecutor(1, "urial-background")
    made = pool.submit(job)
    pool.shutdown(wait=False)
    return made
