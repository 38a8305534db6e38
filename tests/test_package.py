"""The wheel: all data inside, ranges that admit the pins, and it runs from an empty folder in a new environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml
from packaging.requirements import Requirement

import urial
from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LIMIT = 40_000_000  # bytes of the wheel


def requirements(lines: list[str]) -> dict[str, Requirement]:
    plain = [line.split("#")[0].strip() for line in lines]
    found = [Requirement(line) for line in plain if line and not line.startswith("-")]
    return {one.name.lower(): one for one in found}


def pins(name: str) -> dict[str, Requirement]:
    return requirements((ROOT / name).read_text(encoding="utf-8").splitlines())


def test_the_pins_satisfy_the_ranges_and_nothing_is_missing_on_either_side() -> None:
    ranges, pinned = requirements(PROJECT["dependencies"]), pins("requirements.txt")
    assert set(ranges) == set(pinned)
    for name, pin in pinned.items():
        (one,) = pin.specifier
        assert one.operator == "==", f"{name} is not pinned"
        assert ranges[name].specifier.contains(one.version), f"{name}=={one.version} is outside {ranges[name]}"
        assert ranges[name].extras == pin.extras


def test_extras_admit_what_is_tested() -> None:
    pinned = pins("requirements.txt") | pins("requirements-dev.txt") | pins("requirements-bench.txt")
    for lines in PROJECT["optional-dependencies"].values():
        for name, one in requirements(lines).items():
            if name in pinned:
                (pin,) = pinned[name].specifier
                assert one.specifier.contains(pin.version), f"{pin} is outside {one}"


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == urial.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None and newest[1] == urial.__version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)], folder)
    (made,) = folder.glob("*.whl")
    return made


def run(command: list[str], folder: Path) -> str:
    """Standard output of a command that has to end well, run in `folder` without this project in sight."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "URIAL_MODELS")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_the_code_and_all_data_and_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= LIMIT
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = run(["git", "ls-files", "urial"], ROOT).splitlines()
    missing = [name for name in tracked if name not in held]
    assert missing == []
    assert {"urial/models.yaml", "urial/py.typed"} <= held
    assert not any(name.startswith(("tests/", "docs/")) for name in held)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new environment `.venv`: the wheel, and the tested versions of what it needs."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / ".venv", with_pip=True)
    tested = folder / "tested.txt"  # a constraint may not name extras
    tested.write_text("\n".join(f"{name}{pin.specifier}" for name, pin in pins("requirements.txt").items()))
    pip = [".venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-c", str(tested), str(wheel)], folder)
    return folder


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_wheel_runs_from_an_empty_folder_in_a_new_environment(environment: Path, tmp_path: Path) -> None:
    here, programs = tmp_path, environment / ".venv" / "bin"
    python, urial_command = str(programs / "python"), str(programs / "urial")
    assert "gemma3-270m-embedded" in run([urial_command, "pairs"], here)
    asked = [urial_command, "compare", "Why do cats purr?", "--max-new-tokens", "4", "--json"]
    assert json.loads(run(asked, here))["schema"] == "urial.comparison/1"
    code = "import urial; print(len(urial.load().compare('Hi', max_new_tokens=3).aligned.token_ids))"
    assert int(run([python, "-c", code], here)) in (1, 2, 3)
    assert serves([urial_command, "serve"], here)
    assert list(here.iterdir()) == []


def serves(command: list[str], folder: Path) -> bool:
    """Whether the page answers within two minutes."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen([*command, "--port", str(port)], cwd=folder, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(240):
                try:
                    return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
                except httpx.TransportError:
                    time.sleep(0.5)
            return False
        finally:
            server.terminate()


def steps() -> list[str]:
    """The shell lines of the Dockerfile's RUN steps after the user is made."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 20
    return [line.removeprefix("RUN ") for line in lines if line.startswith("RUN ") and "useradd" not in line]


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_steps_of_the_dockerfile_run_as_plain_shell(environment: Path) -> None:
    """In the folder where the wheel's environment lies: its first step finds most of what it installs."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if not name.startswith(("tests/", "docs/")):
            target = environment / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    for step in steps():
        done = subprocess.run(["bash", "-ec", step], cwd=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    program = json.loads(re.search(r"^CMD (\[.*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1])
    served = subprocess.run([*program, "--help"], cwd=environment, capture_output=True, text=True, env=dict(os.environ))
    assert served.returncode == 0 and "--root-path" in served.stdout
