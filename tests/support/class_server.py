"""A class's addresses alone, in a process of their own that a test may kill: `python -m tests.support.class_server`.

Arguments: FILE PORT [GALLERY]. Everything is as `app.py` mounts it, without the page of models around it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette

from tests.support.paths import ROOT
from urial.gallery import FOLDER
from urial.workshop.rooms import open_store
from urial.workshop.routes import Class, class_routes
from urial.workshop.shelf import Shelf


def application(path: Path, gallery: Path = FOLDER) -> Starlette:
    return Starlette(routes=class_routes(Class(open_store(str(path)), Shelf(gallery))))


def start(path: Path, port: int, *more: str) -> subprocess.Popen[bytes]:
    """The process, once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.class_server", str(path), str(port), *more], cwd=ROOT
    )
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/class/languages/en.json", timeout=5)
            return process
        except httpx.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    process.kill()
    raise AssertionError("The class's server does not answer.")


@contextmanager
def running(path: Path, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    process = start(path, port, *more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    file, port, *more = sys.argv[1:]
    app = application(Path(file), Path(more[0]) if more else FOLDER)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
