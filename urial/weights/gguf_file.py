"""Reading a GGUF file: its metadata, and its tensors as float32 rows.

Own parser because the `gguf` package's reader makes several Python objects for each of a vocabulary's 262,144
entries (26 s on 2 cores against 0.3 s here); its numpy dequantisation is used as it is.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from urial.errors import WeightsError

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
CHUNK_VALUES = 1 << 22  # 16 MB of float32 at a time keeps the peak low


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where one tensor lies and how it is stored; `shape` is in torch order (slowest first)."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int  # from the beginning of the file
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A parsed GGUF file over the bytes that hold it."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data: np.ndarray  # uint8 [file size]

    def rows(self, name: str, chunk_values: int = CHUNK_VALUES) -> Iterator[np.ndarray]:
        """The tensor's values in order, float32, in flat chunks of whole rows of about `chunk_values`."""
        info = self.tensors[name]
        width = info.shape[-1]
        count = math.prod(info.shape[:-1])
        packed = self.data[info.offset : info.offset + info.size].reshape(count, -1)
        step = max(1, chunk_values // width)
        for start in range(0, count, step):
            yield dequantize(packed[start : start + step], info.kind).astype(np.float32, copy=False).ravel()


class _Cursor:
    """A position in the bytes; every read moves it on."""

    def __init__(self, data: np.ndarray) -> None:
        self._view = data.data
        self.size = len(data)
        self.position = 0

    def unpack(self, code: str) -> tuple[Any, ...]:
        """Little-endian values in `struct`'s notation."""
        values = struct.unpack_from(f"<{code}", self._view, self.position)
        self.position += struct.calcsize(f"<{code}")
        return values

    def string(self) -> str:
        (length,) = self.unpack("Q")
        end = self.position + length
        if end > self.size:
            raise struct.error("a string runs past the end")
        text = str(self._view[self.position : end], "utf-8")
        self.position = end
        return text

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.unpack("IQ")
            return self._array(inner, count)
        return self.unpack(SCALARS[kind])[0]

    def _array(self, kind: int, count: int) -> list[Any]:
        if kind in SCALARS:
            return list(self.unpack(f"{count}{SCALARS[kind]}"))
        return [self.value(kind) for _ in range(count)]


def parse_gguf(data: np.ndarray) -> GgufFile:
    """Parses a whole file, given as uint8 [file size]. Raises WeightsError if it is not a sound GGUF file."""
    try:
        metadata, tensors = _parse(_Cursor(data))
    except (struct.error, KeyError, ValueError, UnicodeDecodeError, MemoryError) as error:
        raise WeightsError(f"The GGUF file is damaged or of an unknown version ({error}); fetch it again.") from error
    return GgufFile(metadata, tensors, data)


def _parse(cursor: _Cursor) -> tuple[dict[str, Any], dict[str, TensorInfo]]:
    magic, version, tensor_count, key_count = cursor.unpack("4sIQQ")
    if magic != MAGIC or version not in (2, 3):
        raise ValueError(f"it begins with {magic!r}, version {version}")
    metadata = {}
    for _ in range(key_count):
        key = cursor.string()
        metadata[key] = cursor.value(*cursor.unpack("I"))
    entries = [_read_entry(cursor) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    start = -(-cursor.position // alignment) * alignment
    tensors = {name: _locate(name, shape, kind, start + offset) for name, shape, kind, offset in entries}
    _check_extent(tensors, cursor)
    return metadata, tensors


def _read_entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
    name = cursor.string()
    (dimensions,) = cursor.unpack("I")
    shape = tuple(reversed(cursor.unpack(f"{dimensions}Q")))
    kind, offset = cursor.unpack("IQ")
    return name, shape, GGMLQuantizationType(kind), offset


def _locate(name: str, shape: tuple[int, ...], kind: GGMLQuantizationType, offset: int) -> TensorInfo:
    block_values, block_bytes = GGML_QUANT_SIZES[kind]
    return TensorInfo(name, shape, kind, offset, math.prod(shape) // block_values * block_bytes)


def _check_extent(tensors: dict[str, TensorInfo], cursor: _Cursor) -> None:
    for info in tensors.values():
        if info.offset + info.size > cursor.size:
            raise ValueError(f"tensor {info.name} runs past the end")
