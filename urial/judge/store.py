"""A judge's files in a corpus's folder: every paid reply, every judgement, every safety label, a line each.

`judge_replies.jsonl` gets a line as soon as a reply is there, before anything is made of it, so that nothing that was
paid is asked for again; `judgements.jsonl` (`urial.judgement/1`) has a line a question and rubric, and the last line
of a key counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from urial.corpus.lines import cut_torn_end
from urial.errors import Failure, RecordError, UserMistake

SCHEMA = "urial.judgement/1"
SAFETY_SCHEMA = "urial.safety/1"
JUDGEMENTS, REPLIES, LABELS = "judgements.jsonl", "judge_replies.jsonl", "safety_labels.jsonl"
LOCK = "judgements.lock"


def key_of(*parts: Any) -> str:
    """The hash of whatever decides a reply or a judgement."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Lines:
    """An append-only file of JSON lines; each is on the disk when `add` returns."""

    def __init__(self, path: Path) -> None:
        cut_torn_end(path)
        self._path = path
        self._file: BinaryIO = path.open("ab")

    def add(self, data: dict[str, Any]) -> None:
        """Raises Failure where the disk takes no more."""
        text = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self._file.write(text.encode("utf-8", "replace"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise Failure(
                f"{self._path} could not be written ({error.strerror}); free some space and run it again."
            ) from error

    def close(self) -> None:
        self._file.close()


class Store:
    """All files, open for one judge at a time. Raises UserMistake where another one writes there."""

    def __init__(self, folder: Path) -> None:
        self._lock = FileLock(folder / LOCK)
        try:
            self._lock.acquire(timeout=0)
            self._files = {name: Lines(folder / name) for name in (REPLIES, JUDGEMENTS, LABELS)}
        except Timeout:
            raise UserMistake(f"Another judge is writing into {folder}; wait for its end or stop it.") from None
        except OSError as error:
            self._lock.release()
            raise UserMistake(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error
        self.replies = {line["key"]: line for line in read_objects(folder / REPLIES)}
        self.done = {line["key"] for line in judgements(folder) if line.get("status") != "failed"}
        self.labelled = {line["key"] for line in labels(folder)}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        self._lock.release()

    def keep_reply(self, line: dict[str, Any]) -> None:
        self._files[REPLIES].add(line)
        self.replies[line["key"]] = line

    def keep_judgement(self, line: dict[str, Any]) -> None:
        self._files[JUDGEMENTS].add({"schema": SCHEMA, **line})
        if line["status"] != "failed":
            self.done.add(line["key"])

    def keep_label(self, line: dict[str, Any]) -> None:
        self._files[LABELS].add({"schema": SAFETY_SCHEMA, **line})
        self.labelled.add(line["key"])


def judgements(folder: str | Path) -> list[dict[str, Any]]:
    """All judgements of a folder, one a key, in the order of their keys' first lines. Raises RecordError."""
    return _by_key(Path(folder) / JUDGEMENTS, SCHEMA)


def labels(folder: str | Path) -> list[dict[str, Any]]:
    """All safety labels of a folder, one a key. Raises RecordError."""
    return _by_key(Path(folder) / LABELS, SAFETY_SCHEMA)


def unsafe_prompts(folder: str | Path) -> set[str]:
    """The records whose prompt a guard called unsafe."""
    return {line.get("record", "") for line in labels(folder) if (line.get("prompt") or {}).get("label") == "unsafe"}


def _by_key(path: Path, schema: str) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line in read_objects(path):
        if line.get("schema") != schema:
            raise RecordError(f'{path}: key "schema" is {line.get("schema")!r}; it must be "{schema}".')
        found[line["key"]] = line
    return list(found.values())


def read_objects(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that may not be there; a torn last line is passed over. Raises RecordError."""
    if not path.exists():
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); choose another folder.") from error
    for number, raw in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{path}, line {number} is not JSON; the file was changed: delete that line.") from error
        if not isinstance(line, dict) or not isinstance(line.get("key"), str):
            raise RecordError(f'{path}, line {number}: key "key" is missing; the file was changed: delete that line.')
        yield line
