"""What a folder's judgements say, as plain numbers and texts for a page, a report or a program."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from urial.errors import RecordError
from urial.judge.agreement import cohen_kappa, krippendorff_alpha, percent
from urial.judge.figures import NAMES, figures, winner
from urial.judge.labels import counts
from urial.judge.store import JUDGEMENTS, LABELS, judgements, labels
from urial.judge.votes import Votes, kept

SCHEMA = "urial.judged/1"


def summary(folder: str | Path, votes: Votes | None = None) -> dict[str, Any]:
    """All judgements of a corpus's folder; `{"schema": ..., "groups": []}` where nothing was judged yet.

    votes: people's winners by (query, base answer, aligned answer), as `votes.read` gives them (left out: those that
    were kept in the folder). Each of `groups` is
    one judge, rubric and method:

        {"judge": {"model", "host"}, "rubric": "six-aspects/1", "method": "urial",
         "questions": n, "unparsed": n, "failed": n, "warnings": [sentences],
         "sides": {"base": {"words": mean, "words_interval": [low, high],
                            "aspects": {"clarity": {"mean", "interval": [low, high] or None, "n", "not_applicable",
                                                    "as_original"}}},   # N/A counts as 5 in `as_original`
                   "aligned": {same}},                                   # no aspects under pairwise
         "differences": {"clarity": {"mean", "interval", "n"}},           # aligned minus base, paired by question
         "outcomes": {"clarity": {"base", "tie", "aligned", "n"}},        # counts of questions won; also "overall"
         "win_rate": {"raw", "raw_interval", "length_controlled", "length_controlled_interval", "n", "reason"},
         "consistency": share or None, "first_place": share or None,      # pairwise only
         "by_tag": {"topic": {"nature": {"n", "differences": {...}, "outcomes": {...}, "win_rate": share}}},
         "agreement": {"questions", "n", "percent", "percent_without_ties", "kappa", "alpha"} or None,  # with votes
         "items": [{"record", "id", "query", "tags", "status", "words", "base": text, "aligned": text,
                    "winner": "base", "tie", "aligned" or None,
                    "verdicts": {"base": {"clarity": {"reason", "score"}}, "aligned": {same}},
                    or "orders": [{"first": "base", "verdicts": {"clarity": {"reason", "better"}}}, ...]}]}

    `safety` holds a guard's labels, by guard and method, empty without one:

        {"guard": {"model", "host", "template"}, "method", "questions": n,
         "prompt": {"safe", "controversial", "unsafe", "unread", "refusals"}, "base": {same}, "aligned": {same},
         "items": [{"record", "id", "query",
                    "prompt": {"label", "codes": [{"code", "name"}], "refusal", "probability"} or None, ...}]}

    Reads `judgements.jsonl` and `safety_labels.jsonl` alone; the first holds the answers too. Raises RecordError where
    a line is broken.
    """
    people = kept(Path(folder)) if votes is None else votes
    try:
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for line in judgements(folder):
            groups[(line["judge"]["model"], line["judge"]["host"], line["rubric"], line["method"])].append(line)
        return {
            "schema": SCHEMA,
            "groups": [_group(lines, people) for lines in groups.values()],
            "safety": counts(sorted(labels(folder), key=lambda line: line["place"])),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RecordError(
            f"{folder} holds a judgement that this program did not write ({type(error).__name__}: {error}); delete "
            f"{JUDGEMENTS} and {LABELS} there and run the judge again: replies that were paid are kept."
        ) from error


def _group(lines: list[dict[str, Any]], votes: Votes) -> dict[str, Any]:
    here = _newest(lines)
    read = [line for line in here if line["status"] != "failed"]
    first = lines[0]
    return {
        "judge": first["judge"],
        "rubric": first["rubric"],
        "method": first["method"],
        "questions": len(here),
        "unparsed": sum(line["status"] == "unparsed" for line in here),
        "failed": sum(line["status"] == "failed" for line in here),
        **figures(read),
        "agreement": agreement(read, votes),
        "items": [_item(line) for line in here],
    }


def _newest(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a record, in the corpus's order: answers that were made anew have a later judgement."""
    return sorted({line["record"]: line for line in lines}.values(), key=lambda line: line["place"])


def _item(line: dict[str, Any]) -> dict[str, Any]:
    """One question with both answers and what was said of them."""
    verdicts = {"orders": line["orders"]} if "orders" in line else {"verdicts": line.get("sides", {})}
    return {
        **{key: line[key] for key in ("record", "id", "query", "tags", "status", "words")},
        **line["answers"],
        "winner": winner(line) if line["status"] != "failed" else None,
        **verdicts,
        **{key: line[key] for key in ("skills", "error") if key in line},
    }


def agreement(lines: Sequence[dict[str, Any]], votes: Votes) -> dict[str, Any] | None:
    """The judge's winners against people's: percent and kappa with each single vote, alpha with all raters at once."""
    judged = [(name, given) for line in lines if (name := winner(line)) and (given := votes.get(_answers(line)))]
    pairs = [(name, vote) for name, given in judged for vote in given]
    if not pairs:
        return None
    ours, theirs = [list(column) for column in zip(*pairs, strict=True)]
    decided = [pair for pair in pairs if "tie" not in pair]
    return {
        "questions": len(judged),
        "n": len(pairs),
        "percent": percent(ours, theirs),
        "percent_without_ties": percent(*map(list, zip(*decided, strict=True))) if decided else None,
        "kappa": cohen_kappa(ours, theirs, NAMES),
        "alpha": krippendorff_alpha([[name, *given] for name, given in judged], NAMES),
    }


def _answers(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["query"], line["answers"]["base"], line["answers"]["aligned"]
