"""The folder of converted weights: found by key, built once, trusted only when complete and unchanged.

A build happens in a folder of its own under a lock between processes, is described by a marker with each file's size
and SHA-256, and appears under its key by one rename; whatever stops it leaves nothing that looks finished.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from urial.errors import WeightsError
from urial.files import write_whole
from urial.progress import Progress

MARKER = "complete.json"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_folder() -> Path:
    """`URIAL_CACHE`, or the platform's cache folder for this program."""
    return Path(os.environ.get("URIAL_CACHE") or platformdirs.user_cache_dir("urial")).expanduser().absolute()


def cached_folder(key: str, size: int, build: Callable[[Path], None], progress: Progress) -> Path:
    """The finished folder of that key, built by `build(folder)` where there is none.

    `size` is about how many bytes the build writes. Raises WeightsError when it cannot be written.
    """
    folder = cache_folder() / key
    if is_complete(folder, progress):
        return folder
    try:
        _build_locked(folder, size, build, progress)
    except OSError as error:
        raise WeightsError(_explain(error, folder.parent)) from error
    return folder


def is_complete(folder: Path, progress: Progress) -> bool:
    """Whether the marker is there and every file is the one that it describes.

    A file whose inode and times are those of its last hashing counts as unchanged (any writing moves its ctime);
    another is hashed again.
    """
    try:
        marked = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        found = {name: _check(folder / name, entry, progress) for name, entry in marked.items()}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return False
    if not found or None in found.values():
        return False
    if found != marked:
        with suppress(OSError):  # a cache that may only be read is hashed at every start instead
            _write_marker(folder, found)
    return True


def _check(path: Path, entry: dict[str, Any], progress: Progress) -> dict[str, Any] | None:
    """The entry as it should be marked from now on; None if the file is not what it was."""
    if path.stat().st_size != entry["size"]:
        return None
    if _seen(path) == entry["seen"]:
        return entry
    progress("Checking the converted weights", None)
    described = _describe(path)
    return described if described["sha256"] == entry["sha256"] else None


def _describe(path: Path) -> dict[str, Any]:
    seen = _seen(path)  # before the hashing: a change during it shows next time
    return {"size": path.stat().st_size, "sha256": file_digest(path), "seen": seen}


def _seen(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_mtime_ns, status.st_ctime_ns]


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_locked(folder: Path, size: int, build: Callable[[Path], None], progress: Progress) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder, progress):
        if is_complete(folder, progress):  # another process was faster
            return
        _remove_leftovers(folder)
        _check_space(folder.parent, size)
        _build_and_publish(folder, build)


def _locked(folder: Path, progress: Progress) -> AbstractContextManager[Any]:
    """The lock on that key, held; the system frees it when a process dies."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        return lock.acquire(timeout=0.1)
    except Timeout:
        progress("Waiting for another process that is converting the weights", None)
        return lock.acquire()


def _remove_leftovers(folder: Path) -> None:
    """What a killed or spoilt build left; nobody else is building while the lock is held."""
    for path in [folder, *folder.parent.glob(f"{folder.name}.building-*")]:
        if path.exists():
            shutil.rmtree(path)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free")


def _build_and_publish(folder: Path, build: Callable[[Path], None]) -> None:
    work = folder.with_name(f"{folder.name}.building-{os.getpid()}")
    work.mkdir()
    try:
        build(work)
        paths = sorted(work.iterdir())
        for path in paths:
            flush(path)
        _write_marker(work, {path.name: _describe(path) for path in paths})
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def flush(path: Path) -> None:
    """Onto the disk, so that a power cut after the rename cannot leave empty files behind a good marker."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _write_marker(folder: Path, files: dict[str, Any]) -> None:
    write_whole(folder / MARKER, json.dumps({"files": files}, indent=2))


def _explain(error: OSError, folder: Path) -> str:
    if error.errno in NO_ROOM:
        return f"No room for the converted weights in {folder} ({error.strerror}); free space or set URIAL_CACHE."
    return f"The cache folder {folder} cannot be used ({error.strerror}); set URIAL_CACHE to a folder to write to."
