"""A hub of one model on this machine: as much of the Hugging Face API as fetching a snapshot asks for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "beef"


class Hub(BaseHTTPRequestHandler):
    """`folder` is served as someone/model; someone/gated wants a licence; anything else is not there."""

    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        status, headers, body = self._route(path)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _route(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if "someone/gated" in path:
            return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"}, b""
        if "someone/model" not in path:
            return 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b""
        if path.startswith("/api/models/someone/model/tree/"):
            return 200, {}, json.dumps([self._entry(file) for file in sorted(self.folder.iterdir())]).encode()
        if path.startswith("/api/models/someone/model"):
            return self._info(path)
        return self._file(path.rpartition("/")[2])

    def _entry(self, file: Path) -> dict:
        return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": self._etag(file)}

    def _info(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if "/revision/" in path and path.rpartition("/")[2] not in ("main", "v1", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b""
        siblings = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
        return 200, {}, json.dumps({"id": "someone/model", "sha": COMMIT, "siblings": siblings}).encode()

    def _file(self, name: str) -> tuple[int, dict[str, str], bytes]:
        file = self.folder / name
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        return 200, {"ETag": f'"{self._etag(file)}"', "X-Repo-Commit": COMMIT}, file.read_bytes()

    @staticmethod
    def _etag(file: Path) -> str:
        return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, list of the paths asked for)."""
    asked: list[str] = []
    handler = type("ThisHub", (Hub,), {"folder": folder, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
