"""The statistics' memory, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_extra_memory_stays_under_400_mb() -> None:
    """Peak of a process of its own; 48 positions are two chunks, and further ones only add to the lists."""
    command = [sys.executable, "-m", "tests.support.shift_memory", "262144", "48"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=240)
    assert 0 < float(done.stdout) < 400
