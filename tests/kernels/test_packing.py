"""Weights packed without loss, and products with them as those of float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.packable import weights
from tests.support.unpacked import dense, is_packed
from urial.kernels import by_address, packing
from urial.kernels.multiply import multiply, told

pytestmark = pytest.mark.slow

STORED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
KINDS = ("whole", "in blocks of 32", "in blocks of 16", "from their least", "from their least in four bits")


# Packing


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_matrix_is_the_matrix_to_the_last_bit(kind: str) -> None:
    weight = weights(kind, 60, 128)
    packed = packing.pack(weight)
    assert is_packed(packed) == (kind != "whole")
    np.testing.assert_array_equal(dense(packed), weight.numpy())
    assert packed.scales.shape == {"whole": (0, 0), "in blocks of 16": (60, 8)}.get(kind, (60, 4))
    assert (len(packed.offsets) > 0) == ("from their least" in kind)
    assert (packed.kind == by_address.NIBBLES) == ("in four bits" in kind)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_one_bit_off_is_not_packed(kind: str) -> None:
    """Also where the first rows, which are tried first, do pack."""
    weight = weights(kind, 60, 64)
    weight[50, 7] = torch.nextafter(weight[50, 7], torch.tensor(9.0))
    packed = packing.pack(weight)
    assert not is_packed(packed)
    np.testing.assert_array_equal(dense(packed), weight.numpy())


def test_blocks_of_zeros_and_of_one_value_pack() -> None:
    weight = torch.zeros(20, 64)
    weight[3] = 0.7
    weight[4, 40] = -1.5
    packed = packing.pack(weight)
    assert is_packed(packed)
    np.testing.assert_array_equal(dense(packed), weight.numpy())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_stays_as_it_is(bad: float) -> None:
    weight = weights("in blocks of 32", 20, 64)
    weight[2, 5] = bad
    np.testing.assert_array_equal(dense(packing.pack(weight)), weight.numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_two_bytes_stay_two_bytes_over_the_same_memory(dtype: torch.dtype) -> None:
    """All there are: also the smallest, what is infinite and what is no number."""
    weight = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype).view(256, 256)
    packed = packing.pack(weight)
    assert packed.codes.nbytes == weight.nbytes and packed.codes.ctypes.data == weight.data_ptr()
    np.testing.assert_array_equal(dense(packed), weight.float().numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_stored_number_is_multiplied_as_what_it_is(dtype: torch.dtype) -> None:
    """One entry of each row of weights meets a 1, so the product is that weight, to the last bit."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16 if dtype.itemsize > 2 else dtype)
    given = every.to(dtype)[every.isfinite()][: 60 * 16 * 60].view(-1, 16)
    out = np.empty((16, len(given)), np.float32)
    multiply(told(packing.as_stored(given)), np.eye(16, dtype=np.float32), np.zeros(16, np.float32), out)
    np.testing.assert_array_equal(out, given.float().numpy().T)


# Products


@pytest.mark.parametrize("width", [96, 352])
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", [*KINDS, *STORED])
def test_products_are_those_of_float64(kind: str, rows: int, width: int) -> None:
    """More than one tile of outputs, whose low-rank parts meet within a tile."""
    weight = weights("whole", 150, width).to(STORED[kind]) if kind in STORED else weights(kind, 150, width)
    random = np.random.default_rng(1)
    down, up = (random.standard_normal(shape).astype(np.float32) for shape in ((8, width), (4, 150)))
    bias, outputs = random.standard_normal(150).astype(np.float32), np.array([80, 70])
    matrix = packing.pack(weight)._replace(bias=bias)
    matrix = packing.with_low_rank(matrix, np.split(down, 2), np.split(up.T, outputs[:1]))
    x, out = random.standard_normal((rows, width)).astype(np.float32), np.empty((rows, 150), np.float32)
    factors = np.linspace(0, 1.5, rows).astype(np.float32)
    multiply(told(matrix), x, factors, out)
    wanted = x.astype(np.float64) @ weight.double().numpy().T + bias
    low = (x.astype(np.float64) @ down.T.astype(np.float64)).reshape(rows, 2, 4)
    added = np.einsum("rok,ko->ro", low[:, np.repeat([0, 1], outputs)], up.astype(np.float64))
    wanted += factors[:, None].astype(np.float64) * added
    np.testing.assert_allclose(out, wanted, atol=3e-5, rtol=3e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_packed_and_of_unpacked_weights_are_the_same_to_the_last_bit(kind: str) -> None:
    """A code becomes the very float32 that the file stood for before anything is multiplied with it."""
    weight = weights(kind, 150, 352)
    x = np.random.default_rng(2).standard_normal((5, 352)).astype(np.float32)
    packed, plain = np.empty((5, 150), np.float32), np.empty((5, 150), np.float32)
    for matrix, out in ((packing.pack(weight), packed), (packing.as_stored(weight), plain)):
        multiply(told(matrix), x, np.zeros(5, np.float32), out)
    np.testing.assert_array_equal(packed, plain)
