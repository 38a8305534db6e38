"""Scores as just-eval's own files, so that the original's `report` reads them: one file a side, method and mode."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from urial.errors import Failure
from urial.files import write_whole
from urial.judge import rubrics
from urial.judge.asker import call_key
from urial.judge.client import ChatClient
from urial.judge.just_eval import item_of
from urial.judge.prompts import Call, messages_of
from urial.judge.questions import SIDES, Question
from urial.judge.run import judgement_key
from urial.judge.store import judgements
from urial.records import SideName

FOLDER = "just_eval"
NO_REPLY = {"mark": "", "reply": ""}  # its file was deleted


def write(
    folder: Path, questions: list[Question], replies: dict[str, dict[str, Any]], client: ChatClient
) -> list[Path]:
    """Write the six-aspects scores of one judge; returns the files."""
    model = client.model
    lines = {line["key"]: line for line in judgements(folder)}
    files: dict[str, list[Any]] = defaultdict(list)
    for number, question in enumerate(questions):
        line = lines.get(judgement_key(client, "six-aspects", question))
        if line is None or line["status"] == "failed":
            continue
        mode = "score_safety" if question.is_harmful else "score_multi"
        for side in SIDES:
            call = rubrics.score_call(question, side)
            reply = replies.get(call_key(client, call, 1)) or replies.get(call_key(client, call)) or NO_REPLY
            name = f"{question.method}.{side}.{mode}.{model}"
            files[name].append(_item(number, question, side, mode, model, call, reply, line["sides"][side]))
    return [_save(folder / FOLDER / f"{file_name(name)}.json", items) for name, items in files.items()]


def _item(
    number: int,
    question: Question,
    side: SideName,
    mode: str,
    model: str,
    call: Call,
    reply: dict[str, Any],
    verdicts: dict[str, dict[str, Any]] | None,
) -> dict[str, Any]:
    prompt = "\n\n".join(message["content"] for message in messages_of(call, reply["mark"]))
    return item_of(
        number=number,
        query=question.query,
        answer=question.answer(side),
        generator=question.generators[side],
        mode=mode,
        judge=model,
        prompt=prompt,
        reply=reply["reply"],
        verdicts=verdicts,
    )


def file_name(text: str) -> str:
    """Letters, digits, dots, hyphens and underscores of a name: a model's name may hold slashes and worse."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:150] or "judge"


def _save(path: Path, items: list[Any]) -> Path:
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps(items, ensure_ascii=False, indent=2).encode(errors="replace"))
    except OSError as error:
        raise Failure(f"{path} could not be written ({error.strerror}); free some space and run it again.") from error
    return path
