"""Tiny random models of many more families than the usual ones: odd heads, positions, caches and attentions.

And of those that have compiled loops, `DECODERS`, in widths that the loops take.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

VOCABULARY, LONGEST = 448, 2048

# What each family's config needs to be tiny; its vocabulary and longest text are added where it knows them.
SHAPES: dict[str, dict[str, Any]] = {
    "HyperCLOVAX": {"num_key_value_heads": 2, "logits_scaling": 0.125},
    "Granite": {"num_key_value_heads": 2, "logits_scaling": 8.0},
    "MiniCPM3": {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 8},
    "FalconH1": {
        "num_key_value_heads": 2,
        "lm_head_multiplier": 0.05,
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
    },
    "Falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "FalconAlibi": {"alibi": True, "multi_query": False, "new_decoder_architecture": False},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 16},
    "Bloom": {},
    "Mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": LONGEST},
    "Mamba": {"state_size": 8, "expand": 2, "time_step_rank": 4},
    "DeepseekV3": {
        "moe_intermediate_size": 16,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_nope_head_dim": 4,
        "qk_rope_head_dim": 4,
        "v_head_dim": 8,
        "num_key_value_heads": 4,
    },
    "Llama4": {
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size_mlp": 64,
        "num_local_experts": 2,
        "attention_chunk_size": 16,
        "no_rope_layers": [1, 0],
    },
    "GPT2": {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": LONGEST},
    "GPTNeoX": {},
}
CLASSES = {"Llama4": ("Llama4TextConfig", "Llama4ForCausalLM"), "FalconAlibi": ("FalconConfig", "FalconForCausalLM")}
CLASSES |= {"GPT2": ("GPT2Config", "GPT2LMHeadModel")}
COMMON = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model in eval mode, its logits sharpened so that ranks are distinct."""
    config_name, model_name = CLASSES.get(family, (f"{family}Config", f"{family}ForCausalLM"))
    config_class: Callable[..., Any] = getattr(transformers, config_name)
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": LONGEST}
    known = inspect.signature(config_class).parameters
    given = {name: value for name, value in (COMMON | sizes).items() if name in known}
    config = config_class(**given | special | SHAPES[family])
    torch.manual_seed(seed)
    made = getattr(transformers, model_name)(config).eval()
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(12)
    made.generation_config.eos_token_id = [1, 3]
    made.generation_config.pad_token_id = 1
    return made


# Families that have compiled loops

WINDOWS = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
DECODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SmolLM2": ("Llama", {"tie_word_embeddings": True}),
    "Llama 3.1": ("Llama", {"rope_parameters": LLAMA_3}),
    "Llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "Mistral": ("Mistral", {"sliding_window": 8}),
    "Qwen2": ("Qwen2", {}),
    "Qwen2 with windows": ("Qwen2", {**WINDOWS, "use_sliding_window": True, "max_window_layers": 1}),
    "Qwen3": ("Qwen3", {"head_dim": 32}),
    "OLMo2": ("Olmo2", {}),
    "Gemma 3": ("Gemma3", {**WINDOWS, "head_dim": 16}),
}


def decoder(name: str, dtype: torch.dtype = torch.float32, seed: int = 0, vocabulary: int = VOCABULARY) -> Any:
    """A random model whose norms and biases are no ones and zeros, so that each of them shows."""
    family, own = DECODERS[name]
    config_class = getattr(transformers, "Gemma3TextConfig" if family == "Gemma3" else f"{family}Config")
    config = config_class(
        vocab_size=vocabulary,
        max_position_embeddings=LONGEST,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **own,
    )
    torch.manual_seed(seed)
    made = getattr(transformers, f"{family}ForCausalLM")(config).eval().requires_grad_(False)
    for each, parameter in made.named_parameters():
        if "norm" in each or "bias" in each:
            parameter.add_(torch.randn_like(parameter) / 4)
    made.get_output_embeddings().weight.mul_(12)
    for parameter in made.parameters():  # buffers keep their precision, as in a checkpoint that is loaded
        parameter.data = parameter.data.to(dtype)
    made.config.dtype = dtype
    return made
