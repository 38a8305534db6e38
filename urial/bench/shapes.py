"""A pair of random models in the shape of a real one: what a step costs depends on shapes, not on what was learnt.

For machines with a GPU and no way to the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from urial.bench.workload import QUERIES, Workload
from urial.errors import SettingsError
from urial.pairs import ModelSpec, Pair
from urial.prompts import method
from urial.weights import LoadedModel, LoadedPair
from urial.weights.placement import check_device

LLAMA_8B: dict[str, Any] = {  # Llama-3.1-8B's configuration
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
SMOLLM2_135M: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
}
QWEN2_0_5B: dict[str, Any] = {  # Qwen2.5-0.5B's
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 4096,
    "max_position_embeddings": 8192,
}
SHAPES = {"8b": LLAMA_8B, "smollm2-135m": SMOLLM2_135M, "qwen2.5-0.5b": QWEN2_0_5B, "tiny": TINY}
FAMILIES = {"qwen2.5-0.5b": (Qwen2Config, Qwen2ForCausalLM)}  # the others are Llamas
FOR_GPUS = ("8b",)
WORDS = 2000  # entries of the tokenizer: enough to cut the prompts' words about as usual
CHAT_TEMPLATE = (
    "{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def random_work(shape: str, *, device: str, dtype: str | None, examples: int, new_tokens: int) -> Workload:
    """Two random models of a shape. Raises SettingsError where they do not fit, or would take a processor for ever."""
    dtype = dtype or ("bfloat16" if device.startswith("cuda") else "float32")
    if dtype not in ("bfloat16", "float16", "float32"):
        raise SettingsError(f"--dtype {dtype}: random weights are not quantised; choose bfloat16, float16 or float32.")
    check_device(device)
    if shape in FOR_GPUS and not device.startswith("cuda"):
        raise SettingsError(f"--shape {shape} needs a GPU; --shape tiny runs on a processor and shows that all works.")
    words = tokenizer()
    with told_if_too_large(shape):
        base, aligned = (random_model(shape, device, dtype, words, seed) for seed in (0, 1))
    spec = ModelSpec(folder="random")
    pair = Pair(name=f"random-{shape}", title="Random weights", licence="none", base=spec, aligned=spec)
    return Workload(pair, LoadedPair(base, aligned, shares_weights=False), dtype, device, examples, new_tokens)


def random_model(shape: str, device: str, dtype: str, words: PreTrainedTokenizerFast, seed: int) -> LoadedModel:
    torch.manual_seed(seed)
    config_class, model_class = FAMILIES.get(shape, (LlamaConfig, LlamaForCausalLM))
    config = config_class(**SHAPES[shape], dtype=dtype)
    with torch.device(device):
        model = model_class._from_config(config, dtype=getattr(torch, dtype))
    model.eval().requires_grad_(False)
    model.generation_config.eos_token_id = None
    return LoadedModel(model, words, frozenset(), f"random weights {seed} of the shape {shape}", "random")


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and merges learnt from the prompts that are measured."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<turn>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([method("urial", 8).prefix, *QUERIES], trainer)
    found = PreTrainedTokenizerFast(tokenizer_object=core)
    found.chat_template = CHAT_TEMPLATE
    return found


@contextmanager
def told_if_too_large(shape: str) -> Iterator[None]:
    """Too little memory as one sentence."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            f"Two models of the shape {shape} do not fit into this GPU's memory (8b in bfloat16: 33 GB); "
            "use a larger GPU, or --shape tiny."
        ) from error
