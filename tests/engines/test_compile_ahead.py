"""What is told of a pair before transformers is imported, so that compiling can begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from urial.engines.compile_ahead import WORTH_COMPILING, is_worth_compiling, start_compiling
from urial.errors import SettingsError
from urial.kernels import second_process
from urial.pairs import Machine, ModelSpec, Pair, load_pairs

HERE = Machine(memory_gb=8.0)


@pytest.fixture
def pair() -> Pair:
    found = load_pairs(str(ROOT / "models.yaml"))
    return found.get(found.default)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The types of numbers for which a process was asked for; none is started."""
    asked: list[str] = []
    monkeypatch.setattr(second_process, "start", lambda dtype: asked.append(dtype) is None)
    return asked


def test_it_begins_for_what_a_processor_will_run(pair: Pair, started: list[str]) -> None:
    assert start_compiling(pair, HERE)
    assert start_compiling(pair, HERE, dtype="bfloat16")
    assert started == ["float32", "bfloat16"]
    assert not start_compiling(pair, HERE, device="cuda")
    assert len(started) == 2
    with pytest.raises(SettingsError):
        start_compiling(pair, HERE, dtype="float12")


def test_without_a_compiler_nothing_begins(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where numba does not go with the numpy that is there; torch runs the models then."""
    monkeypatch.delattr("urial.kernels.second_process")
    monkeypatch.setitem(sys.modules, "urial.kernels.second_process", None)
    assert not start_compiling(pair, HERE)


def test_a_folder_counts_by_its_files_and_a_dead_link_is_none(tmp_path: Path) -> None:
    spec = ModelSpec(folder=str(tmp_path))
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blob")
    assert not is_worth_compiling(spec)
    with (tmp_path / "blob").open("wb") as file:
        file.truncate(2 * WORTH_COMPILING)
    assert is_worth_compiling(spec)
