"""Files that are there whole or not at all, whatever stops the program while it writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A place to write to beside `path`, which takes its name when the block has ended well. Raises OSError."""
    path = path.resolve()  # what a link points to is written, and the link stays
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Text as UTF-8, or bytes; a pipe or a device takes them as they come. Raises OSError."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    with whole_file(path) as part:
        part.write_bytes(data)
