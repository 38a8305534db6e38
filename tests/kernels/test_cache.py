"""Where compiled loops are kept: in a folder of their own for each state of the sources."""

from __future__ import annotations

import re
from pathlib import Path

import numba

from urial.kernels import flavours
from urial.kernels.flavours import PACKAGE, SOURCES, digest


def test_the_folder_is_named_by_what_the_sources_say(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("1")
    first = digest(tmp_path, ["*.py"])
    assert first == digest(tmp_path, ["*.py"]) and re.fullmatch("[0-9a-f]{16}", first)
    (tmp_path / "b.py").write_text("2")
    assert digest(tmp_path, ["*.py"]) != first
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert digest(tmp_path, ["*.py"]) != first


def test_every_file_that_holds_loops_counts() -> None:
    known = {path for pattern in SOURCES for path in PACKAGE.glob(pattern)}
    loop = re.compile(r"^from numba|^@(njit|compiled|exactly|as_written)", re.MULTILINE)
    holding = {path for path in PACKAGE.rglob("*.py") if loop.search(path.read_text(encoding="utf-8"))}
    assert holding and holding <= known


def test_a_folder_that_cannot_be_made_leaves_the_choice_to_numba(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "as it was")
    flavours.use_own_folder()
    assert numba.config.CACHE_DIR == "as it was"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    flavours.use_own_folder()
    assert numba.config.CACHE_DIR == str(tmp_path / "loops" / digest())
