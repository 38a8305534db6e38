"""A folder's judgements for the eye: the figures of each group, and what was said of each question apart from them.

The answers themselves are in the corpus's records. Knows summaries; nothing about pages.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from urial.errors import RecordError
from urial.judge.store import JUDGEMENTS, LABELS
from urial.judge.summary import summary
from urial.judge.votes import KEPT

Judged = dict[str, Any]
FILES = (JUDGEMENTS, LABELS, KEPT)
LEFT_OUT = ("record", "id", "query", "tags", "words", "base", "aligned")  # of an item: the corpus has them


def shown(folder: str | Path) -> Judged:
    """What a page shows of a folder's judgements, computed again only where its files have changed:

    {"front": {"groups": [a group of `summary` without its items, with "winners": {question id: winner}],
               "safety": [the same of a guard's labels], "error": sentence},   # "error" only where a line is broken
     "questions": {question id: {"verdicts": [{"group": index, "status", "winner", "verdicts" or "orders", ...}],
                                 "labels": [{"group": index, "prompt", "base", "aligned"}]}}}
    """
    found = Path(folder)
    return _shown(found, tuple(_stamp(found / name) for name in FILES))


def is_newer(folder: Path, path: Path) -> bool:
    """Whether something was judged, labelled or voted since `path` was written; False where it is not there."""
    written = _stamp(path)
    stamps = (_stamp(folder / name) for name in FILES)
    return written is not None and any(stamp is not None and stamp[0] > written[0] for stamp in stamps)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _shown(folder: Path, _stamps: tuple[tuple[int, int] | None, ...]) -> Judged:
    try:
        whole = summary(folder)
    except RecordError as error:
        return {"front": {"groups": [], "safety": [], "error": str(error)}, "questions": {}}
    questions: dict[str, Judged] = defaultdict(lambda: {"verdicts": [], "labels": []})
    for kind, groups in (("verdicts", whole["groups"]), ("labels", whole["safety"])):
        for index, group in enumerate(groups):
            for item in group["items"]:
                own = {key: value for key, value in item.items() if key not in LEFT_OUT}
                questions[item["id"]][kind].append({"group": index, **(_labels(item) if kind == "labels" else own)})
    front = {
        "groups": [{**_without_items(group), "winners": _winners(group)} for group in whole["groups"]],
        "safety": [_without_items(group) for group in whole["safety"]],
    }
    return {"front": front, "questions": dict(questions)}


def _labels(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("prompt", "base", "aligned")}


def _without_items(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "items"}


def _winners(group: dict[str, Any]) -> dict[str, str | None]:
    return {item["id"]: item["winner"] for item in group["items"]}
