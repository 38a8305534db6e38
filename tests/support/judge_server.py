"""A judge as a real HTTP server in this process: scripted behaviours first, then verdicts by a rule.

The rule sees a call as a judge does: the texts between the marks, and what stands outside them.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[["Seen"], Any]


@dataclass(slots=True)
class Seen:
    """One call."""

    body: dict[str, Any]
    parts: dict[str, str]
    outside: str
    aspects: list[str]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Seen:
        texts = [message["content"] for message in body["messages"]]
        mark = re.search(r"carry the code (\w+)", texts[0])
        assert mark, texts[0]
        pattern = rf"\[begin ([\w ]+) {mark[1]}\]\n(.*?)\n\[end \1 {mark[1]}\]"
        parts = {found[1]: found[2] for found in re.finditer(pattern, texts[1], re.DOTALL)}
        outside = "\n".join([texts[0], re.sub(pattern, "", texts[1], flags=re.DOTALL), *texts[2:]])
        return cls(body, parts, outside, re.findall(r'"(\w+)": \{"reason"', texts[1]))

    @property
    def is_pair(self) -> bool:
        return "answer A" in self.parts

    @property
    def is_choice_of_skills(self) -> bool:
        return list(self.parts) == ["question"]


def verdict(seen: Seen, worth: Callable[[str], int]) -> dict[str, Any]:
    """A right reply to any of the calls; `worth` gives an answer 1 to 5 points."""
    if seen.is_choice_of_skills:
        return {"reason": "these", "skills": ["comprehension", "factuality", "conciseness"]}
    if seen.is_pair:
        a, b = worth(seen.parts["answer A"]), worth(seen.parts["answer B"])
        better = "tie" if a == b else "A" if a > b else "B"
        return {aspect: {"reason": f"{a} to {b}", "better": better} for aspect in seen.aspects}
    points = worth(seen.parts["answer"])
    return {aspect: {"reason": "so many", "score": points} for aspect in seen.aspects}


def by_mark(text: str) -> int:
    """A planted mark in an answer says what it is worth: `[4]`."""
    found = re.search(r"\[([1-5])\]", text)
    return int(found[1]) if found else 3


@dataclass(slots=True)
class Status:
    """An answer of another status."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    text: str = '{"error": {"message": "no"}}'


@dataclass(slots=True)
class Text:
    """A reply in these words, whatever was asked."""

    text: str
    more: dict[str, Any] = field(default_factory=dict)


class Hang:
    """No answer for as long as anybody waits."""


class Cut:
    """Half of an answer, then the connection is closed."""


@dataclass
class JudgeServer:
    """`rule` answers where no behaviour is left; `bodies` are all calls in order, `answered` those that got a reply.

    `raw` answers in place of `rule` where it is given: a whole reply to a whole body.
    """

    rule: Rule = lambda seen: verdict(seen, by_mark)
    raw: Callable[[dict[str, Any]], Text] | None = None
    behaviours: list[Any] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answered: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, int] | None = field(default_factory=lambda: {"total_tokens": 100})
    seconds: float = 0.0

    def __enter__(self) -> JudgeServer:
        self._lock, self._end = threading.Lock(), threading.Event()
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                judge.serve(self, body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def serve(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self._lock:
            self.bodies.append(body)
            self.headers.append(dict(handler.headers))
            found = self.behaviours.pop(0) if self.behaviours else None
        time.sleep(self.seconds)
        if callable(found):
            found = found(body)
        if found is None and self.raw:
            found = self.raw(body)
        if isinstance(found, Hang):
            self._end.wait(20)
            handler.close_connection = True
            return
        if isinstance(found, Status):
            self.send(handler, found.status, found.text.encode(), found.headers)
            return
        text, more = (found.text, found.more) if isinstance(found, Text) else (json.dumps(self.rule(Seen.of(body))), {})
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
        data = json.dumps({"choices": [choice], "usage": self.usage}).encode()
        self.send(handler, 200, data, {}, cut=isinstance(found, Cut))
        if not isinstance(found, Cut):
            with self._lock:
                self.answered.append(body)

    @staticmethod
    def send(handler: Any, status: int, data: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        try:
            handler.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(data[: len(data) // 2] if cut else data)
        except OSError:
            pass  # the client was killed, or has given up
        handler.close_connection = True


def save_corpus(folder: Any, answers: list[tuple[str, str]], *, tags: list[dict[str, list[str]]] | None = None) -> None:
    """A corpus's `records.jsonl` of given answers, base and aligned."""
    from tests.support.records_builder import build
    from urial.corpus.lines import FILE, Line, Origin, to_text

    lines = []
    for number, (base, aligned) in enumerate(answers):
        record = build([aligned], query=f"Question number {number}?")
        record = record.model_copy(update={"base": record.base.model_copy(update={"text": base})})
        found = tags[number] if tags else {"topic": ["even" if number % 2 == 0 else "odd"]}
        origin = Origin(key=f"key{number}", id=f"id{number}", method="urial", tags=found)
        lines.append(to_text(Line(origin=origin, query=record.query, record=record)))
    (folder / FILE).write_text("".join(lines), encoding="utf-8")
