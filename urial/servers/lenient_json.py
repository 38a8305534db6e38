"""JSON as servers send it: behind a byte order mark, with NaN, with halves of characters."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json

MARK = b"\xef\xbb\xbf"  # the byte order mark, which some servers put before their first byte


def parse(data: str | bytes) -> Any:
    """The value; NaN and infinities are taken as such. Raises ValueError.

    Half a character (`"\\ud83d"` alone), which a server sends that cuts an emoji in two, becomes a replacement
    character: no file, page or tokenizer could hold it.
    """
    data = data.removeprefix(MARK) if isinstance(data, bytes) else data
    try:
        return from_json(data)
    except ValueError:
        return mended(loads(data))


def loads(data: str | bytes) -> Any:
    """Slower, and lenient about halves of characters."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def mended(value: Any) -> Any:
    """Without halves of characters."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [mended(each) for each in value]
    if isinstance(value, dict):
        return {mended(key): mended(each) for key, each in value.items()}
    return value
