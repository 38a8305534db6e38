"""A model's low-rank layers as a GGUF adapter file, so that llama.cpp runs the same aligned sibling.

The numbers are written in float16, as the adapter's own file holds them. Knows Gemma 3's layer names.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from gguf import GGUFType, GGUFWriter, Keys
from transformers import PreTrainedModel

from urial.errors import SettingsError
from urial.weights.adapters import LowRankLinear

ARCHITECTURE = "gemma3"
LAYER = re.compile(r"layers\.(\d+)\.(?:self_attn|mlp)\.(\w+)$")
NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def write_adapter(model: PreTrainedModel, path: Path) -> None:
    """What `model`'s low-rank layers add to their linear ones, at scale 1. Raises SettingsError where it has none."""
    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LowRankLinear)]
    if not layers:
        raise SettingsError("The pair's aligned side is no adapter on its base, which llama.cpp needs; choose another.")
    writer = GGUFWriter(path, ARCHITECTURE)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(len(layers[0][1].down)))  # alpha / rank: their scale is in `up`
    for name, layer in layers:
        if (found := LAYER.search(name)) is None:
            raise SettingsError(f"llama.cpp has no name for the adapter's part {name!r}; choose another.")
        number, kind = found.groups()
        for half, tensor in (("a", layer.down), ("b", layer.up)):
            writer.add_tensor(f"blk.{number}.{NAMES[kind]}.weight.lora_{half}", tensor.numpy().astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
