"""Imports point one way (design, section 2), and importing the package loads no weights."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

LAYERS = [
    {"errors", "files", "progress", "validation", "records", "repeats", "shares", "steering_records", "kernels"},
    {"pairs", "prompts", "shift", "paper_code_metrics", "render"},
    {"servers"},
    {"weights"},
    {"tokenizer"},
    {"engines"},
    {"compare", "corpus", "judge", "votes"},
    {"notebook", "sibling", "bench", "gallery", "workshop"},
    {"cli", "ui"},
    {"__main__"},
]
HEIGHT = {room: height for height, layer in enumerate(LAYERS) for room in layer}


def room_of(path: Path) -> str:
    inside = path.relative_to(ROOT / "urial").parts
    return inside[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "urial":
            found |= {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("urial."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("urial.")}
    return found


def sources() -> list[Path]:
    return [p for p in sorted((ROOT / "urial").rglob("*.py")) if p != ROOT / "urial" / "__init__.py"]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = room_of(path)
    assert here in HEIGHT, f"{here} has no layer: add it to LAYERS"
    for other in imported_rooms(path) - {here}:
        assert HEIGHT[other] <= HEIGHT[here], f"{here} may not import {other}"


def test_every_module_says_what_it_does() -> None:
    silent = [str(p) for p in sources() if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]
    assert silent == []


def test_importing_the_command_line_loads_neither_torch_nor_gradio() -> None:
    code = (
        "import sys, urial.cli.main as cli; cli.make_parser(); "
        "print([m for m in ('torch', 'gradio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
