"""Tiny random models and a byte-level tokenizer, built in a moment: structure without weights."""

from __future__ import annotations

from functools import lru_cache

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Cohere2Config,
    Cohere2ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from urial.engines.local.choose_runner import shared_model
from urial.engines.local.engine import LocalEngine
from urial.engines.pair import PairEngines
from urial.records import PairInfo, SideName

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<turn>{{ m['role'] }}\n{{ m['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
NEAR_AND_FAR = ["sliding_attention", "full_attention"]  # both kinds of layer, where a family has both
FAMILIES = ("llama", "gemma2", "gemma3", "qwen2", "cohere2")


@lru_cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and a few merges, with the marks of a chat."""
    core = Tokenizer(models.BPE(byte_fallback=False))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<bos>", "<eos>", "<turn>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(["the answer to the question is here\n# Query:\n```\n# Answer:\n```\n"] * 4, trainer)
    found = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<bos>", eos_token="<eos>")
    found.add_special_tokens({"additional_special_tokens": ["<turn>", "<end>"]})
    found.chat_template = CHAT_TEMPLATE
    return found


def model(family: str, seed: int = 0, vocabulary: int = 448) -> PreTrainedModel:
    """A random model; its vocabulary is padded beyond the tokenizer's, as real heads are."""
    torch.manual_seed(seed)
    common = {**SMALL, "vocab_size": vocabulary, "max_position_embeddings": 2048}
    made = MAKERS[family](common).eval()
    with torch.no_grad():  # random heads are nearly flat: sharper ones give distinct ranks
        made.get_output_embeddings().weight.mul_(12)
    made.generation_config.eos_token_id = [1, 3]
    made.generation_config.pad_token_id = 1
    return made


def _gemma3(common: dict) -> PreTrainedModel:
    config = Gemma3TextConfig(
        **common, num_key_value_heads=1, head_dim=8, sliding_window=16, layer_types=NEAR_AND_FAR, eos_token_id=1
    )
    return Gemma3ForCausalLM(config)


def _gemma2(common: dict) -> PreTrainedModel:
    config = Gemma2Config(
        **common,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=16,
        layer_types=NEAR_AND_FAR,
        final_logit_softcapping=5.0,
        eos_token_id=1,
    )
    return Gemma2ForCausalLM(config)


MAKERS = {
    "llama": lambda common: LlamaForCausalLM(LlamaConfig(**common, num_key_value_heads=2)),
    "qwen2": lambda common: Qwen2ForCausalLM(Qwen2Config(**common, num_key_value_heads=2)),
    "cohere2": lambda common: Cohere2ForCausalLM(
        Cohere2Config(**common, num_key_value_heads=2, sliding_window=16, layer_types=NEAR_AND_FAR, logit_scale=0.25)
    ),
    "gemma2": _gemma2,
    "gemma3": _gemma3,
}


@lru_cache
def unchanged(family: str, seed: int) -> PreTrainedModel:
    """A model for those who only run it: made once."""
    return model(family, seed)


def engine(family: str = "llama", seed: int = 0, side: SideName = "base") -> LocalEngine:
    made = unchanged(family, seed)
    name, ends = f"tiny-{family}-{seed}", frozenset({1, 3})
    return LocalEngine(made, tokenizer(), name=name, ends=ends, shared=shared_model(made), side=side)


def pair(family: str = "llama", seeds: tuple[int, int] = (0, 1)) -> PairEngines:
    """Two random siblings; equal seeds give identical models."""
    return pair_of(engine(family, seeds[0]), engine(family, seeds[1], "aligned"))


def pair_of(base: LocalEngine, aligned: LocalEngine) -> PairEngines:
    info = PairInfo(
        name="tiny",
        base=base.name,
        aligned=aligned.name,
        dtype="float32",
        quantization=None,
        device="cpu",
        revisions={"base": None, "aligned": None},
    )
    vocabulary = min(base.vocabulary_size, aligned.vocabulary_size)
    return PairEngines(info=info, base=base, aligned=aligned, vocabulary=vocabulary)
