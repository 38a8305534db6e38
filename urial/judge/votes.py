"""People's votes as a workshop's export holds them: who won, for a question and its two answers.

Those that were read once stay beside a corpus, so that its page and its report show the agreement too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from urial.corpus.folder import write_json
from urial.errors import RecordError
from urial.validation import json_value

KEPT = "people_votes.json"  # in a corpus's folder: [[query, base answer, aligned answer, [winners]], ...]
SCHEMA = "urial.workshop/1"
WINNERS = {"base": "base", "aligned": "aligned", "tie": "tie", "bad": "tie"}  # both bad: nobody won
Answers = tuple[str, str, str]  # query, base answer, aligned answer
Votes = dict[Answers, list[str]]


def read(path: str | Path) -> Votes:
    """The winners of each pair of answers, one for each vote. Raises RecordError."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a workshop's export.") from error
    data = json_value(text, str(path), "name a workshop's export")
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


def keep(folder: Path, votes: Votes) -> None:
    """Beside the corpus, in place of those that were there. Raises Failure."""
    write_json(folder / KEPT, [[*answers, winners] for answers, winners in votes.items()])


def kept(folder: Path) -> Votes:
    """Those beside the corpus; none where none were given. Raises RecordError."""
    path = folder / KEPT
    try:
        return {(query, base, aligned): winners for query, base, aligned, winners in json.loads(path.read_bytes())}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RecordError(f"{path} is broken ({type(error).__name__}); delete it, and give --votes again.") from error
