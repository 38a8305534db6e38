"""Compiling in a second process: this one finds what that one made, and does without where it made nothing."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from tests.support.paths import ROOT
from urial.kernels import second_process
from urial.kernels.flavours import digest


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where loops are kept, with nothing in it."""
    found = tmp_path / "loops" / digest()
    found.mkdir(parents=True)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(found))
    monkeypatch.setattr(second_process, "_failed", [])
    return found


@pytest.mark.slow
def test_what_it_compiles_is_kept_where_this_one_looks(folder: Path) -> None:
    assert second_process.start("bfloat16")
    assert not second_process.start("bfloat16")  # one is enough
    second_process.wait()
    kept = {path.name.split("-")[0] for path in folder.rglob("*.nbi")}
    assert second_process.mark_of(folder, "bfloat16").exists()
    assert {
        "layers.run_layers",
        "attention.attend",
        "decoder.norm",
        "multiply.multiply",
        "sharing.for_all",
        "attention.attend_by_blocks",
        "by_address.of_bfloat16",
    } <= kept
    assert "by_address.of_nibbles" not in kept  # bfloat16 is no steps
    assert not second_process.start("bfloat16")  # nothing is left to do


@pytest.mark.slow
def test_where_it_fails_this_one_goes_on(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert second_process.start("no such type")
        second_process.wait()
    assert "this one does" in caplog.text and "KeyError" in caplog.text and not list(folder.rglob("*.nbi"))
    assert not second_process.start("bfloat16")  # it is not tried again and again


@pytest.mark.slow
def test_files_where_somebody_works_are_none_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "numba.py").write_text("raise SystemExit('a numba of somebody else')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        assert second_process.start("no such type")
        second_process.wait()
    assert "KeyError" in caplog.text and "somebody else" not in caplog.text


def test_a_process_that_cannot_be_started_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(folder / "none"))
    assert not second_process.start("bfloat16")
    second_process.wait()


def test_without_a_folder_of_its_own_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert not second_process.start("bfloat16")


@pytest.mark.slow
def test_it_ends_with_the_one_that_started_it(folder: Path) -> None:
    command = [sys.executable, "-m", "urial.kernels.ahead", "bfloat16"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT)
    process.communicate(timeout=60)  # closes its standard input, as this process would by ending
    assert process.returncode == 1 and not list(folder.rglob("*run_layers*"))


def test_it_needs_no_torch() -> None:
    code = "import sys, urial.kernels.ahead; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
