"""The families that have compiled loops, by what tells them apart, and why another model has none.

All of them are decoders of one plan: norms, attention over rotary positions, a gated feed-forward part, sums around
both. Which norms there are and where they lie, what the gate goes through: that is the table. Biases, norms over
queries and keys, windows, tied heads and rotary scaling show in a model's own modules, and are read there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from urial.kernels.decoder import GELU, SILU
from urial.kernels.packing import STORED
from urial.kernels.products import STEP
from urial.weights.adapters import LowRankLinear

ACTIVATIONS = {"silu": SILU, "gelu_pytorch_tanh": GELU}
STEADY_POSITIONS = ("default", "linear", "llama3", "yarn")  # rotary tables that do not change with a text's length


@dataclass(frozen=True, slots=True)
class Family:
    """Names of a layer's norms in transformers, None where it has none, and what a config must say."""

    before_attention: str | None = "input_layernorm"
    after_attention: str | None = None
    before_forward: str | None = "post_attention_layernorm"
    after_forward: str | None = None
    norms_plus: float = 0.0  # what norm weights are stored less
    usual: dict[str, Any] = field(default_factory=dict)


FAMILIES = {
    "llama": Family(),
    "mistral": Family(),
    "qwen2": Family(),
    "qwen3": Family(),
    "olmo2": Family(
        before_attention=None,
        after_attention="post_attention_layernorm",
        before_forward=None,
        after_forward="post_feedforward_layernorm",
    ),
    "gemma3_text": Family(
        after_attention="post_attention_layernorm",
        before_forward="pre_feedforward_layernorm",
        after_forward="post_feedforward_layernorm",
        norms_plus=1.0,
        usual={
            "attn_logit_softcapping": None,
            "use_bidirectional_attention": False,
            "final_logit_softcapping": None,
        },
    ),
}


def why_not(model: PreTrainedModel) -> str | None:
    """What keeps this model from compiled loops, for the log; None where they fit."""
    config = model.config.get_text_config()
    family = FAMILIES.get(config.model_type)
    if family is None:
        return f"the family {config.model_type} has no compiled loops"
    if model.device.type != "cpu" or model.dtype not in STORED:
        return f"{model.dtype} on {model.device} is not theirs"
    if getattr(model, "hf_quantizer", None) is not None:
        return "quantised layers have loops of their own"
    if any(hasattr(module, "_hf_hook") for module in model.modules()):
        return "accelerate moves its tensors"
    return _unusual(config, family) or _odd_layer(model)


def _unusual(config: Any, family: Family) -> str | None:
    """What its configuration asks for that the loops do not do."""
    for name, value in family.usual.items():
        if getattr(config, name, None) != value:
            return f"its configuration has {name} {getattr(config, name, None)}"
    if activation_of(config) not in ACTIVATIONS:
        return f"its activation is {activation_of(config)}"
    given = getattr(config, "rope_parameters", None) or {}
    kinds = [each for each in given.values() if isinstance(each, dict)] or [given]
    odd = [kind.get("rope_type") for kind in kinds if kind.get("rope_type", "default") not in STEADY_POSITIONS]
    return f"its positions are {odd[0]}" if odd else None


def activation_of(config: Any) -> str:
    """As its configuration names it."""
    return getattr(config, "hidden_activation", "") or getattr(config, "hidden_act", "")


def _odd_layer(model: PreTrainedModel) -> str | None:
    """A linear layer of another kind or width than the loops read."""
    layers: Any = model.base_model.layers
    linears = [*(each for layer in layers for each in linears_of(layer)), model.get_output_embeddings()]
    plain: list[Any] = [each.base if isinstance(each, LowRankLinear) else each for each in linears]
    for each in plain:
        if type(each) is not nn.Linear or each.weight.dtype not in STORED:
            return f"a layer is {type(each).__name__}"
    if any(each.weight.shape[1] % STEP for each in plain) or layers[0].self_attn.head_dim % STEP:
        return f"its widths are no multiples of {STEP}"
    return None


def linears_of(layer: Any) -> list[Any]:
    """The linear layers of one layer: q, k, v, output; gate, up, down."""
    attending, forward = layer.self_attn, layer.mlp
    of_attention = [attending.q_proj, attending.k_proj, attending.v_proj, attending.o_proj]
    return [*of_attention, forward.gate_proj, forward.up_proj, forward.down_proj]
