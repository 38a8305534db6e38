"""Turns at the compiled loops."""

from __future__ import annotations

import pytest

from urial.kernels import decoder
from urial.kernels.cores import all_cores

pytestmark = pytest.mark.slow


def test_a_loop_that_cannot_be_compiled_is_an_error_that_is_told() -> None:
    with pytest.raises(RuntimeError, match="could not be compiled"), all_cores("a test"):
        decoder.norm(None, None, None)
