"""A second process that compiles a decoder's loops on a machine that has none yet, beside imports and loading.

In a thread of this process the compiler, which is Python too, and imports would wait for each other. What the second
one compiles lies where compiled loops are kept, and this one finds it there; where that fails, it compiles by itself.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from urial.kernels.flavours import PACKAGE, kept_in

log = logging.getLogger(__name__)

_LOCK = threading.Lock()
_running: list[subprocess.Popen[bytes]] = []


def start(dtype: str) -> bool:
    """Begin to compile for that type of numbers; False where it is no use, or cannot be."""
    folder = kept_in()
    if folder is None or any(folder.rglob("*run_layers*.nbi")):
        return False
    command = [sys.executable, "-m", "urial.kernels.ahead", dtype]
    path = os.pathsep.join(filter(None, (str(PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    with _LOCK:
        if _running:
            return False
        try:
            _running.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,  # never written to; it ends with this process, and the other with it
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {"PYTHONPATH": path},
                )
            )
        except OSError:
            log.info("no second process could be started; loops are compiled in this one", exc_info=True)
            return False
    return True


def wait() -> None:
    """Until the second process has ended, if there is one."""
    with _LOCK:
        for process in _running:
            if process.wait() != 0:
                log.info("a second process compiled no loops (exit code %s); this one does", process.returncode)
            if process.stdin:
                process.stdin.close()
        _running.clear()
