"""A model of transformers as the compiled loops read it: for each layer its matrices and norms.

Linear layers that read the same input become one matrix. Where weights stay as they are stored, the model's own
parameters are laid over that matrix, so that nothing is held twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from urial.engines.local.compiled_cpu.families import ACTIVATIONS, FAMILIES, activation_of, linears_of
from urial.kernels.layers import Layer
from urial.kernels.matrices import Floats, Matrix
from urial.kernels.packing import as_stored, in_steps, pack, with_low_rank
from urial.weights.adapters import LowRankLinear

EVERYTHING = 2**62  # positions: more than any text has
NONE = np.zeros(0, np.float32)


def layers_of(model: PreTrainedModel) -> list[Layer]:
    """Of a model whose family is in the table (`families.why_not`)."""
    layers: Any = model.base_model.layers
    held = DynamicCache(config=model.config).layers
    windows = [getattr(layer, "sliding_window", None) or EVERYTHING for layer in held]
    return [_layer(model, layer, window) for layer, window in zip(layers, windows, strict=True)]


def rotary_kinds(model: PreTrainedModel) -> list[str]:
    """Of a model's layers, by the number that each has (`Layer.rotary`): sliding and full attention may turn apart."""
    layers: Any = model.base_model.layers
    return sorted({_kind(layer) for layer in layers})


def _kind(layer: Any) -> str:
    return getattr(layer.self_attn, "layer_type", "")


def head_of(model: PreTrainedModel) -> Matrix:
    """The output layer."""
    head = model.get_output_embeddings()
    return pack(head.weight.detach())._replace(bias=_bias([head]))


def last_norm(model: PreTrainedModel) -> Floats:
    """The weight of the norm before the head."""
    return _norm(model, model.base_model, "norm")


def _layer(model: PreTrainedModel, layer: Any, window: int) -> Layer:
    config, family = model.config.get_text_config(), FAMILIES[model.config.get_text_config().model_type]
    q, k, v, output, gate, up, down = linears_of(layer)
    attending = layer.self_attn
    return Layer(
        rotary=rotary_kinds(model).index(_kind(layer)),
        window=window,
        heads=config.num_attention_heads,
        groups=config.num_key_value_heads,
        size=attending.head_dim,
        activation=ACTIVATIONS[activation_of(config)],
        scale=np.float32(attending.scaling),
        matrices=(_matrix(q, k, v), _matrix(output), _matrix(gate, up), _matrix(down)),
        norms=(
            _norm(model, layer, family.before_attention),
            _norm(model, attending, "q_norm"),
            _norm(model, attending, "k_norm"),
            _norm(model, layer, family.after_attention),
            _norm(model, layer, family.before_forward),
            _norm(model, layer, family.after_forward),
        ),
    )


def _norm(model: PreTrainedModel, parent: nn.Module, name: str | None) -> Floats:
    """A norm's weight in float32; [0] where there is none of that name."""
    norm = getattr(parent, name, None) if name else None
    if norm is None:
        return NONE
    plus = FAMILIES[model.config.get_text_config().model_type].norms_plus
    return (plus + norm.weight.detach().float()).numpy()


def _matrix(*layers: Any) -> Matrix:
    """Linear layers that read the same input, as one; an adapter's part beside each."""
    plain: list[Any] = [layer.base if isinstance(layer, LowRankLinear) else layer for layer in layers]
    matrix = _weights(plain)._replace(bias=_bias(plain))
    downs, ups = zip(*(_low_rank(layer) for layer in layers), strict=True)
    return with_low_rank(matrix, list(downs), list(ups)) if any(len(down) for down in downs) else matrix


def _weights(layers: list[nn.Linear]) -> Matrix:
    """Of all layers, one below the other."""
    parts = [layer.weight.detach() for layer in layers]
    joined = _side_by_side(parts)
    if joined is None:
        joined = torch.cat(parts)
    if joined.dtype == torch.float32 and (found := in_steps(joined.numpy())) is not None:
        return found
    with torch.inference_mode(False):  # tensors of that mode cannot stand for parameters
        kept = joined.clone() if joined.is_inference() else joined
        for layer, part in zip(layers, kept.split([len(part) for part in parts]), strict=True):
            layer.weight.data = part
    return as_stored(kept)


def _side_by_side(parts: list[torch.Tensor]) -> torch.Tensor | None:
    """All of them as one tensor over the same memory, where each begins at the end of the one before."""
    first, place = parts[0], parts[0].data_ptr()
    for part in parts:
        same = part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not (same and part.is_contiguous() and part.data_ptr() == place):
            return None
        place += part.nbytes
    return first.as_strided((sum(len(part) for part in parts), first.shape[1]), (first.shape[1], 1))


def _bias(layers: list[nn.Linear]) -> Floats:
    """Of all layers, zeros for those that have none; [0] where none has one."""
    if all(layer.bias is None for layer in layers):
        return NONE
    given = [torch.zeros(len(each.weight)) if each.bias is None else each.bias.detach().float() for each in layers]
    return torch.cat(given).numpy()


def _low_rank(layer: Any) -> tuple[Floats, Floats]:
    """A [r, in] and B [out, r] of one layer; r is 0 where no adapter is on it."""
    if isinstance(layer, LowRankLinear):
        return layer.down.detach().float().numpy(), layer.up.detach().float().numpy()
    outputs, inputs = layer.weight.shape
    return np.zeros((0, inputs), np.float32), np.zeros((outputs, 0), np.float32)
