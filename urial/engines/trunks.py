"""Which kind of trunk a model gets: slots and CUDA graphs on a GPU, compiled loops on a processor, else rows.

Quantised layers have kernels of their own that were never tried in a capture, and a model over several devices copies
between them: both keep rows. Knows nothing about what a trunk does.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future

import torch
from transformers import PreTrainedModel

from urial.engines.background import begin, done
from urial.engines.capture import CudaGraphs
from urial.engines.graph_trunk import GraphTrunk
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.trunk import Trunk

log = logging.getLogger(__name__)

GRAPH_DEVICES = ("cuda",)
COMPILED_FAMILIES = ("gemma3_text",)
WORTH_COMPILING = 2**24  # weights; for fewer, a compiler's seconds are not won back


def trunk_for(model: PreTrainedModel) -> Future[Trunk]:
    """A trunk over the model's layers; `model` carries the adapter where there is one."""
    if suits_graphs(model):
        return done(GraphTrunk(model, CudaGraphs(model.device)))
    if suits_loops(model):
        return begin(lambda: compiled_trunk(model) or RowsTrunk(model))
    return done(RowsTrunk(model))


def suits_graphs(model: PreTrainedModel) -> bool:
    """Plain weights on one GPU, in a family whose forward never asks for a tensor's value."""
    devices = {parameter.device for parameter in model.parameters()}
    on_one = len(devices) == 1 and next(iter(devices)).type in GRAPH_DEVICES
    is_plain = getattr(model, "hf_quantizer", None) is None
    is_hooked = any(hasattr(module, "_hf_hook") for module in model.modules())  # accelerate moves tensors there
    is_quiet = getattr(model, "_can_compile_fullgraph", False) and getattr(model, "_supports_attention_backend", False)
    return on_one and is_plain and not is_hooked and bool(is_quiet)


def suits_loops(model: PreTrainedModel) -> bool:
    """Float32 on a processor, large enough, and of a family that has loops."""
    on_processor = model.device.type == "cpu" and model.dtype == torch.float32
    has_loops = model.config.get_text_config().model_type in COMPILED_FAMILIES
    return on_processor and has_loops and sum(p.numel() for p in model.parameters()) >= WORTH_COMPILING


def compiled_trunk(model: PreTrainedModel) -> Trunk | None:
    """Compiled loops; None where the weights do not pack or this machine cannot compile, or has no room."""
    try:
        from urial.engines.compiled.gemma import packed_trunk  # a compiler is imported only where it is of use

        return packed_trunk(model)
    except (ImportError, RuntimeError, OSError, MemoryError):
        log.warning("the layers' loops could not be made; steps go through transformers' layers", exc_info=True)
        return None
