"""What a folder's judgements say, as plain numbers and texts for a page, a report or a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def summary(folder: str | Path) -> dict[str, Any]:
    """All judgements of a corpus's folder; `{"schema": ..., "groups": []}` where nothing was judged yet.

    Each of `groups` is one judge, rubric and method:

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
         "agreement": {"n", "percent", "kappa", "alpha"} or None,          # with a person's votes
         "items": [{"record", "id", "query", "base": text, "aligned": text, "winner": "base", "tie" or "aligned",
                    "verdicts": {"base": {"clarity": {"reason", "score"}}, "aligned": {same}}   # scores
                    or "orders": [{"first": "base", "verdicts": {"clarity": {"reason", "better"}}}, ...]}]}

    Raises RecordError where the folder holds no corpus or a file in it is broken.
    """
    return {"schema": "urial.judged/1", "groups": []}
