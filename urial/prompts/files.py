"""Reads a text file that someone names: UTF-8, with or without a byte order mark, with any line ends."""

from __future__ import annotations

from pathlib import Path

from urial.errors import PromptError


def read_text(path: str | Path, source: str, limit: int) -> str:
    """The file's text with line ends as "\\n"; at most `limit` bytes are read.

    `source` names the file in the message. Raises PromptError where it cannot be read, is empty, too large or no text.
    """
    data = _read_bytes(path, source, limit)
    if len(data) > limit:
        raise PromptError(f"{source} is larger than {limit:,} bytes; name a smaller text file.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"{source} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8.") from error
    if "\0" in text:
        raise PromptError(f"{source} holds zero bytes, so it is no text; name a text file saved as UTF-8.")
    if not text.strip():
        raise PromptError(f"{source} is empty; name a file with text in it.")
    # The official code reads with universal line ends too, so that files saved on Windows render the same.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_bytes(path: str | Path, source: str, limit: int) -> bytes:
    """One byte more than `limit`, so that a file without end, such as a device, is read no further."""
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise PromptError(f"{source} cannot be read ({error.strerror}); name a file that is there.") from error
    except ValueError as error:  # a zero byte in the name
        raise PromptError(f"{source} cannot be read ({error}); name a file that is there.") from error
