"""Memory that begins with a cache line, and memory that is given back.

numpy's arrays begin with any sixteen bytes, numba's with any thirty-two: most vectors of sixteen numbers would lie
across two lines, and reading those takes twice as long. One pass took a third longer where that had come so.
"""

from __future__ import annotations

import ctypes
import math
import sys

import numpy as np
from numpy.typing import NDArray

from urial.kernels.flavours import exactly

LINE = 64  # bytes
NUMBERS = LINE // 4  # of a line


def aligned_empty(*shape: int) -> NDArray[np.float32]:
    """A float32 array of that shape; nothing is in it yet."""
    size = math.prod(shape)
    room = np.empty(size + NUMBERS, np.float32)
    start = -room.ctypes.data % LINE // 4
    return room[start : start + size].reshape(shape)


def aligned(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of a float32 array."""
    found = aligned_empty(*array.shape)
    found[...] = array
    return found


@exactly
def empty_table(rows, columns):
    """For compiled code: float32 [rows, columns], nothing in it yet."""
    room = np.empty(rows * columns + NUMBERS, np.float32)
    start = (LINE - room.ctypes.data % LINE) % LINE // 4
    return room[start : start + rows * columns].reshape((rows, columns))


def give_back() -> None:
    """To the system, what was freed and glibc keeps; elsewhere nothing.

    It keeps all of a model's small layers that became parts of larger ones, as something that lives lies between them.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
