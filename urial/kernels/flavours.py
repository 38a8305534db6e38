"""How loops are compiled, and where what was compiled is kept.

numba looks at the one file that a loop stands in to tell whether what it compiled before is still right, but loops call
loops of other files. So the folder of what was compiled is named by a digest of all files that hold loops.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numba
import platformdirs
from numba import njit

PACKAGE = Path(__file__).parent.parent
SOURCES = ("kernels/*.py", "shift/numba_kernels.py")  # every file that holds loops is here


def digest(package: Path = PACKAGE, patterns: Sequence[str] = SOURCES) -> str:
    """Of the names and contents of all source files, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in package.glob(pattern)):
        found.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def use_own_folder() -> None:
    """Keep compiled loops under `NUMBA_CACHE_DIR` or `URIAL_CACHE`; numba finds one if nothing can be written."""
    chosen = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("URIAL_CACHE") or platformdirs.user_cache_dir("urial")
    folder = Path(chosen).expanduser().absolute() / "loops" / digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        numba.config.CACHE_DIR = str(folder)


def kept_in() -> Path | None:
    """The folder of what was compiled; None where there is none of our own."""
    folder = Path(numba.config.CACHE_DIR)
    return folder if folder.name == digest() else None


use_own_folder()  # before the first loop is declared: numba chooses a loop's place then

ANY_ORDER = {"reassoc", "contract", "nsz"}  # what is not a number stays so: a broken model must show
compiled = njit(fastmath=ANY_ORDER, nogil=True, cache=True, error_model="numpy")
compiled_for_all_cores = njit(fastmath=ANY_ORDER, nogil=True, cache=True, error_model="numpy", parallel=True)
# For what loops call. A division that may raise keeps a loop from becoming vectors, so none may.
any_order = njit(fastmath=ANY_ORDER, error_model="numpy")
as_written = njit(fastmath={"contract", "nsz"}, error_model="numpy")  # reordered, sums by parts would lose their use
exactly = njit(error_model="numpy")
exactly_on_all_cores = njit(nogil=True, cache=True, error_model="numpy", parallel=True)
