"""A model's weights as a GGUF file in their own precision, so that llama.cpp runs what we run.

For bfloat16 and float16 nothing is rounded; float32 stays. Prompts go as ids and answers are not read, so the words of
the vocabulary are placeholders. Knows how llama.cpp names and lays out the families of `ARCHITECTURES`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, get_tensor_name_map
from transformers import PreTrainedModel

from urial.errors import SettingsError
from urial.weights.adapters import LowRankLinear

ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
}
TURNED = ("llama", "mistral")  # rotary pairs lie side by side there
KINDS = {
    torch.float32: GGMLQuantizationType.F32,
    torch.float16: GGMLQuantizationType.F16,
    torch.bfloat16: GGMLQuantizationType.BF16,
}


def write_model(model: PreTrainedModel, path: Path) -> None:
    """All weights, an adapter left aside. Raises SettingsError for a family or positions that it does not know."""
    config = model.config
    positions = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if config.model_type not in ARCHITECTURES or model.dtype not in KINDS or positions != "default":
        raise SettingsError(
            f"A {config.model_type} model in {model.dtype} with {positions} positions is not written as GGUF for "
            "llama.cpp here; leave llama.cpp out of --against, or choose another pair."
        )
    architecture = ARCHITECTURES[config.model_type]
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[architecture])
    _write_settings(writer, config)
    _write_words(writer, config.vocab_size)
    names = get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, parameter in stored_parameters(model):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        _write_tensor(writer, stored or name, as_llama_cpp(name, parameter, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stored_parameters(model: PreTrainedModel) -> list[tuple[str, torch.Tensor]]:
    """Names as in a checkpoint and values; what an adapter adds is left out."""
    low = {name for name, each in model.named_modules() if isinstance(each, LowRankLinear)}
    found = []
    for name, parameter in model.named_parameters():
        parent, _, last = name.rpartition(".")
        if parent in low and last in ("down", "up"):
            continue
        found.append((name.replace(".base.", "."), parameter.detach()))
    return found


def _write_settings(writer: GGUFWriter, config: Any) -> None:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _write_words(writer: GGUFWriter, count: int) -> None:
    """One word for each id; llama.cpp loads no model without."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"w{place}" for place in range(count)])
    writer.add_token_types([1] * count)
    writer.add_token_merges(["w 0"])


def as_llama_cpp(name: str, values: torch.Tensor, config: Any) -> torch.Tensor:
    """Queries and keys of Llama turn in pairs of neighbours there, in pairs of halves here."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    found = next((count for part, count in heads.items() if part in name), None)
    if config.model_type not in TURNED or found is None:
        return values
    return values.reshape(found, 2, -1, *values.shape[1:]).transpose(1, 2).reshape(values.shape)


def _write_tensor(writer: GGUFWriter, name: str, values: torch.Tensor) -> None:
    """Vectors in float32, as llama.cpp wants them; matrices in their own precision."""
    if values.dim() == 1:
        writer.add_tensor(name, values.float().numpy())
        return
    data: np.ndarray = values.contiguous().view(torch.uint8).numpy()
    writer.add_tensor(name, data, raw_dtype=KINDS[values.dtype])
