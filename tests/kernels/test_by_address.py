"""Functions that loops call by address."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from urial.kernels.by_address import FUNCTIONS, MIXTURES, call, loop_address
from urial.kernels.sharing import floats_at, numbers_at, share_out, shared_out, sharing_address, task_address

pytestmark = pytest.mark.slow


def test_each_has_an_address_of_its_own_that_stays() -> None:
    found = {which: loop_address(which) for which in FUNCTIONS}
    assert all(found.values()) and len(set(found.values())) == len(FUNCTIONS)
    assert found == {which: loop_address(which) for which in FUNCTIONS}


def test_a_loop_calls_what_lies_at_the_address() -> None:
    @njit
    def mix(address, vectors, weights, sums):
        call(address, (vectors.ctypes.data, weights.ctypes.data, sums.ctypes.data, 3, 16, 2, 3))

    vectors, weights = np.arange(48, dtype=np.float32).reshape(3, 16), np.array([[1, 2, 3], [0, 1, 0]], np.float32)
    sums = np.ones((2, 16), np.float32)
    mix(loop_address(MIXTURES), vectors, weights, sums)
    np.testing.assert_array_equal(sums, 1 + weights @ vectors)


def test_what_is_no_whole_number_of_eight_bytes_is_not_passed_on() -> None:
    @njit
    def wrong(address, number):
        call(address, (number,))

    for number in (1.5, np.int32(1)):
        with pytest.raises(TypingError):
            wrong(0, number)


def _count(given, item):
    at, stride = numbers_at(given, 2)
    floats_at(at, 8)[item] += stride * item


def test_work_is_shared_out_by_address() -> None:
    @njit
    def fill(sharing, task, into):
        shared_out(sharing, task, 4, (into, 2))

    found = np.ones(8, np.float32)
    fill(sharing_address(), task_address(_count), found)
    share_out(_count, 4, found.ctypes.data, 1)
    np.testing.assert_array_equal(found, [1, 4, 7, 10, 1, 1, 1, 1])
    with pytest.raises(TypingError):  # an address says nothing of gaps
        fill(sharing_address(), task_address(_count), np.zeros((4, 4), np.float32)[:, 0])
