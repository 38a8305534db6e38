"""A tiny random Gemma 3 as a GGUF file, and as a pip-like package in parts: food for the converter."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

from urial.weights.packages import PackagedGguf

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]
PLAIN = ["\n", "\n\n", "\t", "\t\t", "  ", "   ", "    ", "<table>"]
BYTES = [f"<0x{value:02X}>" for value in range(256)]
WORDS = ["th", "the", "\u2581the", "an", "and", "\u2581and", "in", "ing", "er", "\u2581\u2581and", "日本"]
LETTERS = sorted(set("abcdefghijklmnopqrstuvwxyz.,:!?\u2581日本語é"))
PIECES = [*WORDS, "\u2581a", "\u2581t", "\u2581th", "\u2581an", "nd", "he", *LETTERS]
NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6
WIDTH, INNER, LAYERS, HEADS, HEAD_WIDTH = 64, 96, 6, 2, 256  # transformers assumes heads this wide
Q8, Q5 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q5_0


def vocabulary() -> tuple[list[str], list[int]]:
    """Tokens and their ggml types."""
    groups = [(SPECIAL, CONTROL), (PLAIN, USER_DEFINED), (BYTES, BYTE), (PIECES, NORMAL)]
    return [t for tokens, _ in groups for t in tokens], [kind for tokens, kind in groups for _ in tokens]


def write_gguf(path: Path, *, architecture: str = "gemma3", extra_tensor: str | None = None, seed: int = 0) -> Path:
    writer = GGUFWriter(path, architecture)
    _write_settings(writer, architecture)
    _write_tokens(writer)
    for name, shape, kind in _tensors(extra_tensor):
        _write_tensor(writer, name, shape, kind, np.random.default_rng([seed, len(name), sum(name.encode())]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_settings(writer: GGUFWriter, architecture: str) -> None:
    writer.add_name("tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD_WIDTH)
    writer.add_value_length(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_sliding_window(16)


def _write_tokens(writer: GGUFWriter) -> None:
    tokens, kinds = vocabulary()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(place) for place in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def _tensors(extra: str | None) -> list[tuple[str, tuple[int, ...], GGMLQuantizationType | None]]:
    """Name, shape in torch order, and how it is packed (None: float32)."""
    found = [("token_embd.weight", (len(vocabulary()[0]), WIDTH), Q8), ("output_norm.weight", (WIDTH,), None)]
    for layer in range(LAYERS):
        kinds = (Q8, GGMLQuantizationType.F16) if layer % 2 else (Q5, Q8)
        found += [(f"blk.{layer}.{name}.weight", *rest) for name, *rest in _layer(*kinds)]
    return found + ([(extra, (WIDTH, WIDTH), None)] if extra else [])


def _layer(one: GGMLQuantizationType, other: GGMLQuantizationType) -> list[tuple]:
    heads = HEADS * HEAD_WIDTH
    return [
        ("attn_q", (heads, WIDTH), one),
        ("attn_k", (HEAD_WIDTH, WIDTH), one),
        ("attn_v", (HEAD_WIDTH, WIDTH), other),
        ("attn_output", (WIDTH, heads), other),
        ("attn_q_norm", (HEAD_WIDTH,), None),
        ("attn_k_norm", (HEAD_WIDTH,), None),
        ("attn_norm", (WIDTH,), None),
        ("post_attention_norm", (WIDTH,), None),
        ("ffn_norm", (WIDTH,), None),
        ("post_ffw_norm", (WIDTH,), None),
        ("ffn_gate", (INNER, WIDTH), one),
        ("ffn_up", (INNER, WIDTH), other),
        ("ffn_down", (WIDTH, INNER), one),
    ]


def _write_tensor(
    writer: GGUFWriter, name: str, shape: tuple, kind: GGMLQuantizationType | None, random: np.random.Generator
) -> None:
    values = random.normal(1.0 if name.endswith("norm.weight") else 0.0, 0.3, shape).astype(np.float32)
    packed = values if kind is None else quantize(values, kind)
    writer.add_tensor(name, packed, raw_dtype=kind)


def make_package(site: Path, gguf: Path, name: str = "tiny_gguf_package") -> PackagedGguf:
    """The file in two parts as importable packages under `site`, which must be on the path."""
    data = gguf.read_bytes()
    half = len(data) // 2
    parts = []
    for number, piece in enumerate((data[:half], data[half:])):
        folder = site / f"{name}_part{number}" / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("")
        (folder / f"part{number}").write_bytes(piece)
        parts.append((folder.parent.name, f"part{number}"))
    return PackagedGguf("tiny==1", tuple(parts), len(data), hashlib.sha256(data).hexdigest(), 200_000)


def import_from(site: Path) -> None:
    """Puts a folder of packages on this process's path."""
    if str(site) not in sys.path:
        sys.path.insert(0, str(site))
