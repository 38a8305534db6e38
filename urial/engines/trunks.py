"""Which kind of trunk a model gets: slots and CUDA graphs on a GPU, else rows.

Quantised layers have kernels of their own that were never tried in a capture, and a model over several devices copies
between them: both keep rows. Knows nothing about what a trunk does.
"""

from __future__ import annotations

from transformers import PreTrainedModel

from urial.engines.capture import CudaGraphs
from urial.engines.graph_trunk import GraphTrunk
from urial.engines.rows_trunk import RowsTrunk
from urial.engines.trunk import Trunk

GRAPH_DEVICES = ("cuda",)


def trunk_for(model: PreTrainedModel) -> Trunk:
    """A trunk over the model's layers; `model` carries the adapter where there is one."""
    if suits_graphs(model):
        return GraphTrunk(model, CudaGraphs(model.device))
    return RowsTrunk(model)


def suits_graphs(model: PreTrainedModel) -> bool:
    """Plain weights on one GPU, in a family whose forward never asks for a tensor's value."""
    devices = {parameter.device for parameter in model.parameters()}
    on_one = len(devices) == 1 and next(iter(devices)).type in GRAPH_DEVICES
    is_plain = getattr(model, "hf_quantizer", None) is None
    is_hooked = any(hasattr(module, "_hf_hook") for module in model.modules())  # accelerate moves tensors there
    return on_one and is_plain and not is_hooked and bool(getattr(model, "_can_compile_fullgraph", False))
