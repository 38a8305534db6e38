"""Where arrays begin, and what goes back to the system."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from urial.kernels.memory import LINE, aligned, aligned_empty, empty_table, give_back

pytestmark = pytest.mark.slow


def test_arrays_begin_with_a_cache_line() -> None:
    begins = njit(lambda rows, columns: empty_table(rows, columns).ctypes.data)
    held = []  # so that none gets the memory of one before
    for length in range(1, 40):
        held += [aligned_empty(3, length), aligned(np.full((length, 2), 0.5, np.float32))]
        assert begins(length, 7) % LINE == 0
    assert all(array.ctypes.data % LINE == 0 and array.dtype == np.float32 for array in held)
    assert (held[-1] == 0.5).all()


def test_a_table_for_compiled_code_is_as_large_as_it_says() -> None:
    @njit
    def filled(rows, columns):  # type: ignore[no-untyped-def]
        table = empty_table(rows, columns)
        for r in range(rows):
            for c in range(columns):
                table[r, c] = r * columns + c
        return table.copy()

    np.testing.assert_array_equal(filled(5, 7), np.arange(35).reshape(5, 7))
    assert filled(0, 7).shape == (0, 7)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not the C library of glibc"
)
def test_freed_memory_goes_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    blocks = [bytes([1]) * 60_000 for _ in range(4000)]  # too small to be mapped one by one
    kept = blocks[::50]  # and something that lives lies between them
    blocks.clear()
    before = resident()
    give_back()
    assert before - resident() > 150_000_000
    assert len(kept) == 80
