"""Which arithmetic compares rows: compiled loops on a processor, torch elsewhere and where nothing can be compiled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from urial.distributions import choice, in_loops, in_torch
from urial.distributions.choice import arithmetic_for


@pytest.fixture(autouse=True)
def undecided() -> Iterator[None]:
    choice._in_loops.cache_clear()
    yield
    choice._in_loops.cache_clear()


def test_each_device_has_its_own() -> None:
    assert arithmetic_for(torch.device("cpu")) is in_loops.compare
    assert arithmetic_for(torch.device("cuda")) is in_torch.compare


@pytest.mark.parametrize("error", [RuntimeError("no locator available"), OSError("disk is full")])
def test_a_machine_that_cannot_compile_takes_torch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(in_loops, "warm_up", broken)
    assert arithmetic_for(torch.device("cpu")) is in_torch.compare
    assert "could not be made" in caplog.text
