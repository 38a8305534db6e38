"""`python app.py`: flags, environment, mistakes in one line; importing it loads nothing heavy."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lines_builder import make_lines, write_lines
from tests.support.paths import ROOT
from urial.cli.main import EXIT_MISTAKE
from urial.corpus.answers import read
from urial.corpus.figures import summarize
from urial.corpus.folder import SUMMARY, write_json
from urial.errors import UserMistake
from urial.ui import serve as app

MODELS = """
default: small
pairs:
  - name: small
    title: A folder pair
    base: {folder: %(folder)s}
    aligned: {folder: %(folder)s}
    licence: none
"""


def test_every_flag_is_also_a_variable_and_the_flag_wins() -> None:
    environment = {
        "URIAL_PAIR": "p",
        "URIAL_HOST": "0.0.0.0",
        "URIAL_PORT": "8000",
        "URIAL_MODELS": "m.yaml",
        "URIAL_ROOT_PATH": "/demo",
        "URIAL_DEVICE": "cpu",
        "URIAL_DTYPE": "float32",
        "URIAL_PARALLEL": "3",
        "URIAL_QUEUE": "9",
        "URIAL_CORPUS": "folder",
        "URIAL_WORKSHOP": "class.sqlite",
    }
    found = vars(app.make_parser(environment).parse_args([]))
    assert found == {
        "pair": "p",
        "host": "0.0.0.0",
        "port": 8000,
        "models": "m.yaml",
        "root_path": "/demo",
        "device": "cpu",
        "dtype": "float32",
        "parallel": 3,
        "queue": 9,
        "corpus": "folder",
        "workshop": "class.sqlite",
    }
    assert app.make_parser(environment).parse_args(["--port", "9000"]).port == 9000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "abc"],
        ["--port", "0"],
        ["--port", "70000"],
        ["--host", "not a host"],
        ["--host", "192.0.2.1"],
        ["--nonsense"],
        ["stray"],
        ["--parallel", "0"],
        ["--queue", "-1"],
        ["--models", "/nowhere/models.yaml"],
        ["--pair", "nobody"],
        ["--dtype", "float7"],
        ["--pair"],
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(MODELS % {"folder": tmp_path})
    monkeypatch.setenv("URIAL_MODELS", str(models))
    monkeypatch.setenv("URIAL_PORT", str(free_port()))
    assert app.main(arguments) == EXIT_MISTAKE
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1 and said.err.rstrip().endswith(".")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserMistake, match=f"127.0.0.1:{port}"):
            app.check_address("127.0.0.1", port)


def test_the_state_names_pairs_that_cannot_run_here(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(MODELS % {"folder": tmp_path / "missing"})
    state = app.make_state(app.make_parser({}).parse_args(["--models", str(models)]))
    assert state.default_pair == "small"
    assert "missing" in state.service.models.absent["small"]


def test_the_state_has_the_named_corpus_and_the_pairs_files_guard(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    guard = "guard: {server: {base_url: http://127.0.0.1:9/v1, model: g}, template: qwen3guard}\n"
    models.write_text(guard + MODELS % {"folder": tmp_path})
    folder = write_lines(tmp_path / "corpus", make_lines(3))
    write_json(folder / SUMMARY, summarize(read(folder)))
    arguments = ["--models", str(models), "--corpus", str(folder)]
    state = app.make_state(app.make_parser({}).parse_args(arguments))
    assert state.corpus == folder and state.service.guard is not None
    models.write_text(MODELS % {"folder": tmp_path})
    state = app.make_state(app.make_parser({}).parse_args(arguments[:2]))
    assert state.corpus is None and state.service.guard is None


def test_importing_app_loads_neither_torch_nor_gradio() -> None:
    code = "import sys, app; print([name for name in ('torch', 'gradio', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
