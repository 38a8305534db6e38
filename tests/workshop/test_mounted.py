"""The class on Gradio's own application: beside the page, under a path of a proxy, absent without its flag."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support import ui_server
from tests.support.ui_proxy import proxied
from tests.support.ui_server import GRADIO_WARNS
from urial.ui import serve
from urial.ui.page import launch_arguments
from urial.workshop.routes import workshop_file

pytestmark = GRADIO_WARNS

CLASS_TAB = '"elem_id":"tab-class"'


def test_the_class_is_served_beside_the_page_and_under_a_path(tmp_path: Path) -> None:
    found = workshop_file(tmp_path / "class.sqlite")
    launch = {"root_path": "/demo", **launch_arguments(workshop=found)}
    with (
        ui_server.live(ui_server.tiny_service(), launch, workshop=found) as demo,
        proxied(demo.url, "/demo") as url,
        httpx.Client(base_url=url, follow_redirects=True) as client,
    ):
        assert CLASS_TAB in client.get("/config").text
        page = client.get("/class")
        assert page.status_code == 200 and str(page.url) == f"{url}/class/" and "student.js" in page.text
        asked = {"items": [{"kind": "predict", "entry": "healthy/1"}], "title": "Under a path"}
        room = client.post("/class/api/rooms", json=asked).json()
        assert client.post("/class/api/join", json={"code": room["code"]}).status_code == 200
        assert client.get(f"/class/api/state?code={room['code']}&seen=").json()["title"] == "Under a path"
        assert httpx.get(f"{demo.url}/class/assets/student.js").headers["content-type"].startswith("text/javascript")
    found.database.close()


def test_without_the_flag_there_is_no_class() -> None:
    with ui_server.live(ui_server.tiny_service()) as demo:
        assert httpx.get(f"{demo.url}/class/api/shelf").status_code == 404
        assert CLASS_TAB not in httpx.get(f"{demo.url}/config").text


def test_a_folder_without_wal_is_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from urial.workshop import rooms
    from urial.workshop.database import Database

    monkeypatch.setattr(rooms, "Database", lambda path: Database(path, vfs="unix-dotfile"))
    serve.make_class(str(tmp_path / "class.sqlite"))
    assert "write-ahead log" in capsys.readouterr().err
