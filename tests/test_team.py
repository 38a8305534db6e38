"""One thread for the cores: whoever asks, from wherever, also after a fork."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from urial.engines.team import at_once, on_all_cores, team_for


def test_all_jobs_run_in_one_thread_with_the_callers_cores() -> None:
    torch.set_num_threads(1)
    with ThreadPoolExecutor(4) as callers:
        found = list(
            callers.map(lambda _: on_all_cores(lambda: (threading.get_ident(), torch.get_num_threads())), "abcd")
        )
    assert len(set(found)) == 1
    assert found[0][0] != threading.get_ident() and found[0][1] == 1


def test_a_job_may_ask_for_another_and_errors_come_back() -> None:
    assert on_all_cores(lambda: on_all_cores(lambda: 7)) == 7
    with pytest.raises(ValueError, match="broken"):
        on_all_cores(lambda: int("broken"))


def test_only_a_processor_has_a_team() -> None:
    assert team_for("cpu") is on_all_cores and team_for("cuda") is at_once
    assert at_once(threading.get_ident) == threading.get_ident()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_has_a_thread_of_its_own() -> None:
    on_all_cores(int)
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        os._exit(on_all_cores(lambda: 5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
