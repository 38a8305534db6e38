"""A converted checkpoint as files: safetensors written as a stream, configuration and tokenizer beside it.

Streaming because the whole model in float32 and its packed form need not be in memory together.
Format of the tensors' file: https://github.com/huggingface/safetensors (8 bytes of length, JSON header, data).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from tokenizers import Tokenizer

from urial.progress import Progress
from urial.weights.gemma import build_tokenizer, model_config, special_ids, stored_plus_one, tensor_name
from urial.weights.gemma import tokenizer_config as gemma_tokenizer_config
from urial.weights.gguf_file import GgufFile, TensorInfo

DTYPE_CODES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


def write_checkpoint(gguf: GgufFile, dtype: str, folder: Path, progress: Progress) -> None:
    """Writes everything that `from_pretrained(folder)` needs. Raises WeightsError, or OSError from writing."""
    _write_json(folder / "config.json", model_config(gguf.metadata, dtype))
    _write_json(folder / "generation_config.json", special_ids(gguf.metadata) | {"do_sample": False})
    _write_json(folder / "tokenizer_config.json", gemma_tokenizer_config(gguf.metadata))
    write_tensors(gguf, dtype, folder / "model.safetensors", progress)
    progress("Converting the tokenizer", None)
    _write_tokenizer(build_tokenizer(gguf.metadata), folder / "tokenizer.json")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _write_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """tokenizer.json with each merge as "left right": a quarter of a second less to read than as pairs."""
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if not any(" " in piece for piece in model["vocab"]):
        model["merges"] = [" ".join(pair) for pair in model["merges"]]
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def write_tensors(gguf: GgufFile, dtype: str, path: Path, progress: Progress) -> None:
    """All tensors, dequantised to `dtype`, under transformers' names."""
    infos = list(gguf.tensors.values())
    total, done = sum(math.prod(info.shape) for info in infos), 0
    with path.open("wb") as file:
        _write_header(file, infos, dtype)
        for info in infos:
            for values in _values(gguf, info):
                file.write(as_bytes(values, dtype))
                done += values.size
                progress("Converting the weights", done / total)


def _write_header(file: BinaryIO, infos: Iterable[TensorInfo], dtype: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    width, offset = getattr(torch, dtype).itemsize, 0
    for info in infos:
        end = offset + math.prod(info.shape) * width
        header[tensor_name(info.name)] = {
            "dtype": DTYPE_CODES[dtype],
            "shape": list(info.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 64)
    file.write(struct.pack("<Q", len(encoded)) + encoded)


def _values(gguf: GgufFile, info: TensorInfo) -> Iterator[np.ndarray]:
    """Flat float32 chunks as transformers wants them."""
    for values in gguf.rows(info.name):
        yield values - 1 if stored_plus_one(info.name) else values


def as_bytes(values: np.ndarray, dtype: str) -> memoryview:
    return torch.from_numpy(values).to(getattr(torch, dtype)).view(torch.uint8).numpy().data
