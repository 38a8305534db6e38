"""A real model as the judge: the embedded pair's aligned model behind a real server judges the gallery's recordings.

    python -m tests.support.real_judge [--limit 4] [--max-tokens 256] [--rubric pairwise]

A model of 270 million parameters is no judge: most of its replies cannot be read, and that is what this shows. The
server keeps to no schema and refuses none, calls and re-asks are real, unparsed questions are counted, and the figures
come out.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from typing import Any

from tests.support.judge_server import JudgeServer, Text
from urial.cli.main import main as command
from urial.corpus.lines import FILE, Line, Origin, to_text
from urial.engines.base import Engine, Sampling
from urial.engines.open import open_pair
from urial.gallery import load_entries
from urial.judge.rubrics import RUBRICS
from urial.pairs import load_pairs
from urial.records import Message


def reply(model: Engine, turn: threading.Lock, body: dict[str, Any]) -> Text:
    """A greedy chat completion; the system's words go before the first question."""
    system, first, *rest = body["messages"]
    asked = [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]
    ids = model.encode_chat(model.render_chat([Message(**message) for message in asked]))
    sampling = Sampling(temperature=0.0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=body["max_tokens"], seed=0)
    with turn:
        pieces = list(model.generate(ids, sampling))
        model.forget(ids)
    reason = "stop" if pieces[-1].is_end else "length"
    return Text("".join(piece.text for piece in pieces), {"finish_reason": reason})


def save_gallery(folder: Path) -> None:
    """The gallery's recordings as a corpus."""
    lines = []
    for number, entry in enumerate(load_entries()):
        record, name = entry.turns[0], f"gallery-{number}"
        origin = Origin(key=name, id=name, method=record.settings.method, tags={"topic": [entry.topic]})
        lines.append(to_text(Line(origin=origin, query=record.query, record=record)))
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--rubric", choices=RUBRICS, action="append", help="only this one (default: all three)")
    options = parser.parse_args()
    found = load_pairs(None)
    model, turn = open_pair(found.get(found.default)).aligned, threading.Lock()
    with (
        tempfile.TemporaryDirectory() as folder,
        JudgeServer(raw=lambda body: reply(model, turn, body), usage=None) as server,
    ):
        save_gallery(Path(folder))
        arguments = ["judge", folder, "--judge", server.url, "--model", model.name, "--limit", str(options.limit)]
        arguments += ["--at-once", "1", "--wait", "600"]  # it answers one after another
        for rubric in options.rubric or RUBRICS:
            command([*arguments, "--rubric", rubric, "--max-tokens", str(options.max_tokens)])
        texts = [call["messages"][-1]["content"][:100] for call in server.bodies if len(call["messages"]) > 2]
        print(f"{len(server.bodies)} calls, {len(texts)} of them re-asks, such as: {texts[:2]}")


if __name__ == "__main__":
    main()
