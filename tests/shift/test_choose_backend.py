"""Which arithmetic compares rows: compiled loops on a processor, torch elsewhere and where nothing can be compiled."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
import torch

from urial.kernels.cores import all_cores
from urial.shift import choose_backend as choice
from urial.shift import numba_backend as in_loops
from urial.shift import torch_backend as in_torch
from urial.shift.choose_backend import arithmetic_for


@pytest.fixture(autouse=True)
def undecided() -> Iterator[None]:
    choice.compiled_loops.cache_clear()
    yield
    choice.compiled_loops.cache_clear()


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


def told_in_a_fork(sender: Connection) -> None:
    chosen = arithmetic_for(torch.device("cpu"))
    try:
        with all_cores("a test"):
            sender.send((chosen is in_torch.compare, "ran"))
    except RuntimeError as error:
        sender.send((chosen is in_torch.compare, str(error)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_after_loops_have_run_takes_torch() -> None:
    """As ZeroGPU's worker is. GNU's OpenMP would end it at its first loop."""
    in_loops.warm_up()
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=told_in_a_fork, args=(sender,), daemon=True)
    process.start()
    assert receiver.poll(60)
    takes_torch, said = receiver.recv()
    process.join(10)
    assert takes_torch
    assert "forked after" in said
