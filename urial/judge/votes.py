"""People's votes as a workshop's export holds them: who won, for a question and its two answers."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from urial.errors import RecordError

SCHEMA = "urial.workshop/1"
WINNERS = {"base": "base", "aligned": "aligned", "tie": "tie", "bad": "tie"}  # both bad: nobody won
Answers = tuple[str, str, str]  # query, base answer, aligned answer
Votes = dict[Answers, list[str]]


def read(path: str | Path) -> Votes:
    """The winners of each pair of answers, one for each vote. Raises RecordError."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a workshop's export.") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not JSON ({error}); name a workshop's export.") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise RecordError(f'{path}: key "schema" must be "{SCHEMA}"; make it with `urial workshop export FILE --json`.')
    found: Votes = defaultdict(list)
    try:
        for room in data["rooms"]:
            for item in room["items"]:
                found[_answers(item)] += [WINNERS[vote["winner"]] for vote in item.get("votes", [])]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} is broken ({type(error).__name__}: {error}); export it again.") from error
    return {answers: winners for answers, winners in found.items() if winners}


def _answers(item: dict[str, Any]) -> Answers:
    material = item["material"]
    return item["query"], material["base"].strip(), material["aligned"].strip()
