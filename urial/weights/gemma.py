"""Gemma 3 (text) from GGUF to what transformers loads: configuration, tensor names, tokenizer.

The rules are those of llama.cpp's conversion read backwards: RMS-norm weights are stored plus one; a token of
several spaces is stored as spaces where the vocabulary means U+2581; merges are left out, because the order of the
vocabulary implies them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from urial.errors import WeightsError

CONTROL, USER_DEFINED = 3, 4  # ggml token types that are matched whole in a text
SPACE = "\u2581"
PLACES = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id"}

OUTER_NAMES = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def tensor_name(stored: str) -> str:
    """transformers' name for llama.cpp's. Raises WeightsError for a tensor that Gemma 3 does not have."""
    if stored in OUTER_NAMES:
        return OUTER_NAMES[stored]
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", stored)
    if match is None or match[2] not in LAYER_NAMES:
        raise WeightsError(f"The GGUF file holds a tensor {stored!r} that a Gemma 3 text model does not have.")
    return f"model.layers.{match[1]}.{LAYER_NAMES[match[2]]}.weight"


def stored_plus_one(stored: str) -> bool:
    """Whether llama.cpp stores this tensor with one added (the RMS norms)."""
    return stored.endswith("norm.weight")


def model_config(metadata: dict[str, Any], dtype: str) -> dict[str, Any]:
    """`config.json` as a dictionary. Raises WeightsError for another architecture or a missing key."""
    architecture = metadata.get("general.architecture")
    if architecture != "gemma3":
        raise WeightsError(f"The GGUF file holds a {architecture!r} model; only 'gemma3' can be converted.")
    try:
        return _config(metadata, dtype)
    except KeyError as error:
        raise WeightsError(f"The GGUF file lacks the key {error.args[0]!r}.") from error


def _config(metadata: dict[str, Any], dtype: str) -> dict[str, Any]:
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "dtype": dtype,
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": metadata["gemma3.embedding_length"],
        "intermediate_size": metadata["gemma3.feed_forward_length"],
        "num_hidden_layers": metadata["gemma3.block_count"],
        "num_attention_heads": metadata["gemma3.attention.head_count"],
        "num_key_value_heads": metadata["gemma3.attention.head_count_kv"],
        "head_dim": metadata["gemma3.attention.key_length"],
        "max_position_embeddings": metadata["gemma3.context_length"],
        "rms_norm_eps": metadata["gemma3.attention.layer_norm_rms_epsilon"],
        "sliding_window": metadata["gemma3.attention.sliding_window"],
        "query_pre_attn_scalar": metadata["gemma3.attention.key_length"],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": metadata["gemma3.rope.freq_base"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},  # fixed in Gemma 3
        },
        "tie_word_embeddings": True,
        "use_cache": True,
        **special_ids(metadata),
    }


def special_ids(metadata: dict[str, Any]) -> dict[str, int]:
    """`bos_token_id` and so on, as configuration files name them."""
    return {f"{name}_token_id": metadata[f"tokenizer.ggml.{place}"] for name, place in PLACES.items()}


def tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    """`tokenizer_config.json`: the class that takes tokenizer.json as it is, and the special tokens' texts."""
    tokens = metadata["tokenizer.ggml.tokens"]
    texts = {name.removesuffix("_id"): tokens[place] for name, place in special_ids(metadata).items()}
    # Named here, these few keep transformers from reading the whole tokenizer.json a second time (1.3 s).
    named = {place: {"content": tokens[place], "special": True} for place in special_ids(metadata).values()}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": named, **texts}


def build_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """Gemma's byte-fallback BPE over the file's vocabulary, beginning token included in every text."""
    tokens = [_as_in_vocabulary(token) for token in metadata["tokenizer.ggml.tokens"]]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    ids = special_ids(metadata)
    model = BPE(
        vocab=vocabulary,
        merges=list(implied_merges(vocabulary)),
        unk_token=tokens[ids["unk_token_id"]],
        fuse_unk=True,
        byte_fallback=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    _add_whole_tokens(tokenizer, metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"])
    tokenizer.post_processor = _beginning(tokens[ids["bos_token_id"]], ids["bos_token_id"])
    return tokenizer


def _as_in_vocabulary(token: str) -> str:
    return SPACE * len(token) if token.startswith(" ") and not token.strip(" ") else token


def implied_merges(vocabulary: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Every split of every piece into two pieces: earlier pieces first, then longer left halves first."""
    for piece in sorted(vocabulary, key=vocabulary.__getitem__):
        for cut in range(len(piece) - 1, 0, -1):
            left, right = piece[:cut], piece[cut:]
            if left in vocabulary and right in vocabulary:
                yield left, right


def _add_whole_tokens(tokenizer: Tokenizer, tokens: list[str], kinds: list[int]) -> None:
    pairs = list(zip(tokens, kinds, strict=True))
    special = [AddedToken(text, special=True, normalized=False) for text, kind in pairs if kind == CONTROL]
    plain = [AddedToken(text, special=False, normalized=False) for text, kind in pairs if kind == USER_DEFINED]
    tokenizer.add_special_tokens(special)
    # Runs of spaces are pieces of the vocabulary under another spelling; as added tokens they would be new ids.
    tokenizer.add_tokens([token for token in plain if token.content.strip(" ")])


def _beginning(text: str, token_id: int) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{text} $A", pair=f"{text} $A {text}:1 $B:1", special_tokens=[(text, token_id)]
    )
