"""What docs/hosting.md promises: variables, costs, nginx that shows the page under a path."""

from __future__ import annotations

import ast
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import ui_server
from tests.support.paths import ROOT
from tests.support.ui_server import GRADIO_WARNS
from urial.ui import serve

HOSTING = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
NOT_OURS = {"HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"}  # the hub library reads them, under these names


def read_variables() -> set[str]:
    """The names that the code reads from the environment by a literal; flags make their own."""
    found = set()
    for path in [ROOT / "app.py", *(ROOT / "urial").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^(?:URIAL|SPACES)_[A-Z_]+$", node.value))
    return found | set(re.findall(r"URIAL_[A-Z_]+", serve.make_parser({}).format_help()))


def test_the_table_of_variables_is_complete() -> None:
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", HOSTING, re.MULTILINE))
    assert table - NOT_OURS == read_variables()
    assert table >= NOT_OURS


def test_every_pair_is_in_the_table_of_costs() -> None:
    from urial.pairs import load_pairs

    for pair in load_pairs().pairs.values():
        known = pair.memory_gb.by_precision()
        cells = [f"{known[name]:g} GB" if name in known else "–" for name in ("float32", "bfloat16", "nf4")]
        assert f"| {pair.title} | {' | '.join(cells)} |" in HOSTING


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def behind_nginx(tmp_path: Path) -> Iterator[str]:
    """The address of a live page behind a real nginx with the configuration of the docs."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    with ui_server.live(ui_server.tiny_service(), {"root_path": "/urial"}) as demo:
        site = (ROOT / "docs" / "nginx.conf").read_text(encoding="utf-8")
        site = site.replace("http://127.0.0.1:7860/", f"{demo.url}/").replace("listen 8080", f"listen 127.0.0.1:{port}")
        main = tmp_path / "nginx.conf"
        paths = "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        main.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; client_body_temp_path {tmp_path}/body; {paths}\n{site}\n}}\n"
        )
        with subprocess.Popen([nginx, "-c", str(main), "-e", str(tmp_path / "error.log")]) as server:
            try:
                yield f"http://127.0.0.1:{port}/urial"
            finally:
                server.terminate()


def wait_for(address: str) -> httpx.Response:
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport, timeout=30) as client:
        return client.get(address)


@pytest.mark.slow
class TestBehindNginx:
    pytestmark = GRADIO_WARNS

    def test_the_page_and_its_endpoints_answer_under_the_path(self, behind_nginx: str) -> None:
        page = wait_for(f"{behind_nginx}/")
        assert page.status_code == 200
        inside = page.text.split('"root":"', 1)[1].split('"', 1)[0].encode().decode("unicode_escape")
        assert inside == behind_nginx
        asked = {"data": ["Hello", "tiny", "zero_shot", None, None, 8]}
        with httpx.Client(base_url=behind_nginx, timeout=60) as client:
            started = client.post("/gradio_api/call/brief", json=asked)
            assert started.status_code == 200, started.text
            with client.stream("GET", f"/gradio_api/call/brief/{started.json()['event_id']}") as stream:
                lines = [line for line in stream.iter_lines() if line.startswith("data:")]
        answer = json.loads(json.loads(lines[-1].removeprefix("data:"))[0])
        assert answer["query"] == "Hello" and set(answer["shift"]) == {"zero_shot", "urial"}
