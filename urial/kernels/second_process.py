"""A second process that compiles a decoder's loops on a machine that has none yet, beside imports and loading.

In a thread of this process the compiler, which is Python too, and imports would wait for each other. What the second
one compiles lies where compiled loops are kept, and this one finds it there; where that fails, it compiles by itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, NamedTuple

import numba
from llvmlite import binding

from urial.kernels.flavours import PACKAGE, kept_in

log = logging.getLogger(__name__)

LONGEST = 300  # seconds; a machine that takes so long compiles by itself
SAID = 2000  # bytes of a failure's text that go into the log


class _Running(NamedTuple):
    process: subprocess.Popen[bytes]
    errors: IO[bytes]


_LOCK = threading.Lock()
_running: list[_Running] = []
_failed: list[str] = []  # folders for which it is not tried again


def start(dtype: str) -> bool:
    """Begin to compile for that type of numbers; False where it is no use, or cannot be."""
    folder = kept_in()
    if folder is None or str(folder) in _failed or mark_of(folder, dtype).exists():
        return False
    if not sys.executable or getattr(sys, "frozen", False):  # no Python that could be asked
        return False
    if not _LOCK.acquire(blocking=False):  # somebody waits for one
        return False
    try:
        if not _running:
            _running.append(_started(dtype))
            return True
    except OSError:
        _failed.append(str(folder))
        log.info("no second process could be started; loops are compiled in this one", exc_info=True)
    finally:
        _LOCK.release()
    return False


def _started(dtype: str) -> _Running:
    # -P: a file random.py where somebody works is none of ours
    command = [sys.executable, "-P", "-m", "urial.kernels.ahead", dtype]
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    errors = tempfile.TemporaryFile()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to; it ends with this process, and the other with it
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": path},
        )
    except OSError:
        errors.close()
        raise
    return _Running(process, errors)


def wait() -> None:
    """Until the second process has ended, if there is one."""
    with _LOCK:
        while _running:
            _end(*_running.pop())


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    try:
        process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.returncode != 0:
        _failed.append(str(kept_in()))
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - SAID))
        said = errors.read().decode(errors="replace").strip()
        log.info("a second process compiled no loops (exit code %s); this one does. %s", process.returncode, said)
    if process.stdin:
        process.stdin.close()
    errors.close()


def mark_of(folder: Path, dtype: str) -> Path:
    """The empty file that says: everything for that type of numbers is there, from this Python, for this processor."""
    processor = binding.get_host_cpu_name() + binding.get_host_cpu_features().flatten()
    made_by = hashlib.sha256(f"{sys.implementation.cache_tag} {numba.__version__} {processor}".encode())
    return folder / f"{dtype}-{made_by.hexdigest()[:16]}.done"
