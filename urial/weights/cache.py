"""The folder of converted weights: found by key, built once, trusted only when complete and unchanged.

A build happens in a folder of its own under a lock between processes, is described by a marker with each file's size
and SHA-256, and appears under its key by one rename; whatever stops it leaves nothing that looks finished.
Knows nothing about models.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from urial.errors import WeightsError

MARKER = "complete.json"
Progress = Callable[[str, float | None], None]


def cache_folder() -> Path:
    """`URIAL_CACHE`, or the platform's cache folder for this program."""
    return Path(os.environ.get("URIAL_CACHE") or platformdirs.user_cache_dir("urial"))


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
    """Whether the marker is there and every file has the size and digest that it names."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        expected = {name: (entry["size"], entry["sha256"]) for name, entry in marker["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    progress("Checking the converted weights", None)
    return all(_matches(folder / name, *entry) for name, entry in expected.items())


def _matches(path: Path, size: int, digest: str) -> bool:
    return path.is_file() and path.stat().st_size == size and file_digest(path) == digest


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_locked(folder: Path, size: int, build: Callable[[Path], None], progress: Progress) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder, progress):
        if is_complete(folder, progress):  # another process was faster
            return
        _remove_leftovers(folder)
        _check_space(folder.parent, size)
        _build_and_publish(folder, build)


def _lock(folder: Path, progress: Progress) -> FileLock:
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        progress("Waiting for another process that is converting the weights", None)
        lock.acquire()
    return lock


def _remove_leftovers(folder: Path) -> None:
    """What a killed or spoilt build left; nobody else is building while the lock is held."""
    for path in [folder, *folder.parent.glob(f"{folder.name}.building*")]:
        if path.exists():
            shutil.rmtree(path)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free")


def _build_and_publish(folder: Path, build: Callable[[Path], None]) -> None:
    work = folder.with_name(f"{folder.name}.building-{os.getpid()}")
    work.mkdir()
    try:
        build(work)
        _write_marker(work)
        os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_marker(folder: Path) -> None:
    files = {path.name: {"size": path.stat().st_size, "sha256": file_digest(path)} for path in sorted(folder.iterdir())}
    (folder / MARKER).write_text(json.dumps({"files": files}, indent=2), encoding="utf-8")


def _explain(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"No room for the converted weights in {folder} ({error.strerror}); free space or set URIAL_CACHE."
    return f"The cache folder {folder} cannot be written ({error.strerror}); set URIAL_CACHE to a folder that can be."
