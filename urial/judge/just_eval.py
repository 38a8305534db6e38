"""just-eval's own files: its judgements read and aggregated as its `report` does, and ours written in its form.

Three forms are known: scores (`score_multi`, `score_safety`), the older pairwise ones (`pairwise`, `pairwise_multi`),
and URIAL's `evaluate` (A, B and tie with an assignment). An item without a parsed result is left out, as in the
original, but counted here. N/A counts as 5.0 in the original; the means without it stand beside.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from urial.errors import RecordError
from urial.judge.replies import is_not_applicable, shown
from urial.validation import json_value

Item = dict[str, Any]
AS_ORIGINAL = 5.0  # what N/A counts as
NO_WINNER = ("same", "tie")


def aggregate(path: str | Path) -> dict[str, Any]:
    """The original's report of a file: `total`, `<aspect>_mean`, `avg_lens` and more. Raises RecordError."""
    items = read(path)
    judged = [item for item in items if item.get("parsed_result") is not None]
    if not judged:
        raise RecordError(f"{path} holds no item with a parsed_result: nothing in it was judged; name a judged file.")
    report = _report_of(judged[0])
    found = report(judged, str(path))
    return {**found, "without_parsed_result": len(items) - len(judged), "output_file": str(path)}


def read(path: str | Path) -> list[Item]:
    """The items of a file. Raises RecordError that says what the file is instead."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a file of just-eval's outputs.") from error
    data = json_value(text, str(path), "name a file of just-eval's outputs")
    if isinstance(data, dict) and "avg_lens" in data:
        raise RecordError(f"{path} is already a report; name the file of judgements that it was made of.")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise RecordError(f"{path} is not a list of judgements; name a file of just-eval's outputs.")
    return data


def _report_of(item: Item) -> Any:
    if "output_cand" in item:
        return scores
    return duels if "output_A" in item else assignments


def scores(items: list[Item], source: str) -> dict[str, Any]:
    """Means of scores. `<aspect>_mean` counts N/A as 5.0 as the original does; `dropped` leaves them out."""
    told: defaultdict[str, list[float | None]] = defaultdict(list)
    empty: defaultdict[str, int] = defaultdict(int)
    words: list[int] = []
    for number, item in enumerate(items):
        where = f"{source}, item {item.get('id', number)}"
        words.append(len(_text(item, "output_cand", where).split()))
        for aspect, verdict in _mapping(item, "parsed_result", where).items():
            score = _score(verdict, f"{where}, {aspect}")
            told[aspect].append(score)
            empty[aspect] += score is None
    means = {f"{aspect}_mean": _mean([AS_ORIGINAL if s is None else s for s in told[aspect]]) for aspect in told}
    dropped = {f"{aspect}_mean": _mean([s for s in told[aspect] if s is not None]) for aspect in told}
    extra = {"not_applicable": dict(empty), "dropped": dropped}
    return {"total": len(items), **means, "avg_lens": _mean(words), **extra}


def duels(items: list[Item], source: str) -> dict[str, Any]:
    """The older pairwise forms: wins by generator, one aspect or several; lengths in words.

    `total` counts verdicts, as the original does: with several aspects a question counts once for each.
    """
    wins: dict[str, Any] = {}
    words, total = defaultdict(list), 0
    for number, item in enumerate(items):
        where = f"{source}, item {item.get('id', number)}"
        for side in "AB":
            words[_text(item, f"generator_{side}", where)].append(len(_text(item, f"output_{side}", where).split()))
        for aspect, label in _preferences(_mapping(item, "parsed_result", where)).items():
            table = wins if aspect is None else wins.setdefault(aspect, {"same": 0})
            winner = _winner(label, item, where)
            if winner is not None:
                table[winner] = table.get(winner, 0) + 1
                total += 1
    return {**wins, "total": total, "avg_lens": {name: _mean(found) for name, found in words.items()}}


def assignments(items: list[Item], source: str) -> dict[str, Any]:
    """URIAL's pairwise form: shares of win, tie and lose of `generator` by aspect; lengths in characters."""
    counts: dict[str, dict[str, int]] = {}
    lengths = defaultdict(list)
    for number, item in enumerate(items):
        where = f"{source}, item {item.get('id', number)}"
        ours = _text(item, "generator", where)
        lengths[ours].append(len(_text(item, "model_output", where)))
        lengths[_text(item, "ref_generator", where)].append(len(_text(item, "ref_output", where)))
        placed = _mapping(item, "assignment", where)
        for aspect, label in _mapping(_mapping(item, "parsed_result", where), "choices", where).items():
            outcome = "tie" if str(label).lower() in NO_WINNER else "win" if placed.get(label) == ours else "lose"
            counts.setdefault(aspect, {"win": 0, "tie": 0, "lose": 0})[outcome] += 1
    shares = {a: {name: n / sum(found.values()) for name, n in found.items()} for a, found in counts.items()}
    return {**shares, "total": len(items), "avg_lens": {name: _mean(found) for name, found in lengths.items()}}


def _preferences(parsed: dict[str, Any]) -> dict[str | None, str]:
    """Labels by aspect; the aspect is None where the file has one verdict for the whole."""
    if "preference" in parsed:
        return {None: str(parsed["preference"])}
    return {aspect: str(v.get("preference")) for aspect, v in parsed.items() if isinstance(v, dict)}


def _winner(label: str, item: Item, where: str) -> str | None:
    """The generator that won, "same", or None for a label that the original does not count."""
    if label.lower() in NO_WINNER:
        return "same"
    return _text(item, f"generator_{label.upper()}", where) if label.upper() in ("A", "B") else None


def _score(verdict: Any, where: str) -> float | None:
    value = verdict.get("score") if isinstance(verdict, dict) else verdict
    if is_not_applicable(value):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is a TypeError
    except (TypeError, ValueError):
        raise RecordError(f"{where}: the score is {shown(value)}; it must be a number or N/A.") from None


def _text(item: Item, key: str, where: str) -> str:
    if not isinstance(item.get(key), str):
        raise RecordError(f'{where}: key "{key}" must be text; name a file of just-eval\'s outputs.')
    return item[key]


def _mapping(item: Item, key: str, where: str) -> dict[str, Any]:
    if not isinstance(item.get(key), dict):
        raise RecordError(f'{where}: key "{key}" must be a mapping; name a file of just-eval\'s outputs.')
    return item[key]


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None


def item_of(
    *,
    number: int,
    query: str,
    answer: str,
    generator: str,
    mode: str,
    judge: str,
    prompt: str,
    reply: str,
    verdicts: dict[str, dict[str, Any]] | None,
) -> Item:
    """One judgement in the original's form; scores are text, N/A exactly so, and no key where nothing was parsed.

    verdicts: by aspect {"reason", "score": 1 to 5 or None}, or None where the reply held none.
    """
    found: Item = {
        "id": number,
        "input": query,
        "output_cand": answer,
        "generator_cand": generator,
        "eval_config": {"mode": mode, "gpt": judge, "max_words": -1},
        "prompt": prompt,
        "result": reply,
    }
    if verdicts is not None:
        found["parsed_result"] = {
            aspect: {"reason": v["reason"], "score": "N/A" if v["score"] is None else str(v["score"])}
            for aspect, v in verdicts.items()
        }
    return found
