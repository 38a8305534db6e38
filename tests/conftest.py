"""For all tests: order (the fast ones first, then by `SLOWER`), company, threads, and what collecting them costs."""

from __future__ import annotations

import gc
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.file_marks import can_match, marks_of_all

settings.register_profile("gate", derandomize=True)  # the gate finds the same cases each time; a desk finds new ones
if os.environ.get("CI"):
    settings.load_profile("gate")

if not shutil.which("nvidia-smi"):
    os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels for a GPU run without one; read when Triton is imported

SLOWER = ("slow", "embedded", "browser", "server")
ALONE = {"embedded", "browser", "server"}  # one after another: each of them takes both cores or gigabytes


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Passes over files that `-m` leaves out as a whole: what they import takes seconds in each process."""
    wanted = config.getoption("markexpr")
    if not wanted or not collection_path.match("test_*.py"):
        return None
    try:
        return None if can_match(wanted, marks_of_all(collection_path.read_text(encoding="utf-8"))) else True
    except SyntaxError:
        return None  # of the expression or the file: pytest will tell it better


def pytest_collection() -> None:
    """While five thousand modules are imported hardly anything becomes garbage, and looking for it takes seconds."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: from here on garbage is looked for among what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: max((SLOWER.index(mark) + 1 for mark in SLOWER if item.get_closest_marker(mark)), default=0)
    )


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """With `--dist loadscope`: files with a test of `ALONE` all fall to the same process, other tests one by one."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    marked = re.compile(rf"pytest\.mark\.({'|'.join(ALONE)})\b")
    files = (config.rootpath / "tests").rglob("test_*.py")
    found = [path for path in files if marked.search(path.read_text(encoding="utf-8"))]
    alone = {path.relative_to(config.rootpath).as_posix() for path in found}

    class OneAfterAnother(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "alone" if nodeid.split("::", 1)[0] in alone else nodeid

    return OneAfterAnother(config, log)


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for tiny models: two would wait for each other at each of a thousand small multiplications."""
    import torch  # here, because the process that only hands tests out to others never needs it

    usual = torch.get_num_threads()
    if not request.node.get_closest_marker("embedded"):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)
