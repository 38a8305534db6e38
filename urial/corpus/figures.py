"""All figures of a corpus, from its lines: `summary.json`, schema `urial.corpus/1`.

Read `shares.py`, `curves.py` and `words.py` for what each figure is; this file says which are made of what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from urial.corpus.answers import Answered, Columns, Corpus
from urial.corpus.curves import curves
from urial.corpus.folder import SCHEMA
from urial.corpus.intervals import DRAWS, SEED
from urial.corpus.shares import Sums, counted, difference, figures, number, sums, with_end, with_repeats
from urial.corpus.words import CAP, OPENERS, most_shifted
from urial.records import ContextName

FEW = 10  # answers: a cell with fewer is shown in grey
MOST_TAGS = 40  # values of one kind of tag that get figures
HIDDEN_TAGS = ("tag",)

Figures = dict[str, Any]


def summarize(corpus: Corpus, paper: Sequence[Mapping[str, Any]] = ()) -> Figures:
    """The whole summary; `paper` are the paper's pairs, to stand beside it."""
    return {
        "schema": SCHEMA,
        "pair": corpus.pair.model_dump() if corpus.pair else None,
        "settings": corpus.settings.model_dump(exclude={"method", "examples", "retrieved"})
        if corpus.settings
        else None,
        "questions": corpus.questions,
        "failed": len(corpus.lost),
        "bootstrap": {"draws": DRAWS, "seed": SEED, "over": "questions"},
        "methods": {name: of_method(corpus, name) for name in corpus.methods},
        "differences": between_methods(corpus),
        "paper": [dict(one) for one in paper],
    }


def of_method(corpus: Corpus, name: str) -> Figures:
    answers = corpus.of(name)
    return {
        "answers": len(answers),
        "failed": sum(one.origin.method == name for one in corpus.lost),
        "cut_at_limit": {
            "base": sum(one.base_stop == "length" for one in answers),
            "aligned": sum(one.aligned_stop == "length" for one in answers),
        },
        "words": {
            "base": number(_mean([one.base_words for one in answers])),
            "aligned": number(_mean([one.aligned_words for one in answers])),
        },
        "contexts": {context: of_context(corpus, answers, context) for context in contexts_of(answers)},
        "difference_of_contexts": between_contexts(answers),
    }


def contexts_of(answers: Sequence[Answered]) -> list[ContextName]:
    return list(dict.fromkeys(name for one in answers for name in one.contexts))


def of_context(corpus: Corpus, answers: Sequence[Answered], context: ContextName) -> Figures:
    held = [one for one in answers if context in one.contexts]
    columns = [one.contexts[context] for one in held]
    fresh, end, every = counted(columns), with_end(columns), with_repeats(columns)
    return {
        **figures(every),
        "without_repeats": figures(fresh),  # what a page's headline is, and all that follows but `with_end`
        "exact": all(one.exact for one in columns),
        "unscored": int(sum(((one.rank == 0) & ~one.special).sum() for one in columns)),
        "repeats": int(every.wholes[:, 0].sum() - fresh.wholes[:, 0].sum()),  # tokens that are left out there
        "with_end": {"tokens": int(end.wholes[:, 0].sum()), "pooled": figures(end)["pooled"]},
        "ranks": ranks(columns),
        "openers": openers(columns),
        "most_shifted": most_shifted(held, context, corpus.texts),
        "curves": curves(columns),
        "by_tag": by_tag(held, columns),
        "switch_points": switch_points(columns),
        "as_original": as_original(columns),
    }


def ranks(columns: Sequence[Columns]) -> Figures:
    """Base ranks are heavy-tailed: the median, and a mean with ranks capped as in the original."""
    found = np.concatenate([one.rank[one.counted] for one in columns]) if columns else np.zeros(0)
    probabilities = np.concatenate([one.probability[one.counted] for one in columns]) if columns else np.zeros(0)
    return {
        "median": number(np.median(found)) if len(found) else None,
        "mean_capped_at_50": number(_mean(np.minimum(found, CAP))),
        "mean_base_probability": number(_mean(probabilities)),
    }


def openers(columns: Sequence[Columns]) -> Figures:
    """The first five positions against the rest, of the answers that have both."""
    first_masks = [one.counted & (np.arange(len(one.rank)) < OPENERS) for one in columns]
    rest_masks = [one.counted & (np.arange(len(one.rank)) >= OPENERS) for one in columns]
    first, rest = sums(columns, first_masks), sums(columns, rest_masks)
    both = (first.wholes[:, 0] > 0) & (rest.wholes[:, 0] > 0)
    return {
        "positions": OPENERS,
        "first": figures(first),
        "rest": figures(rest),
        "difference": difference(first.only(both), rest.only(both)),
    }


def by_tag(answers: Sequence[Answered], columns: Sequence[Columns]) -> dict[str, dict[str, Figures]]:
    """{kind: {value: {"answers", "tokens", "pooled", "interval", "few"}}}; an answer counts under all of its tags."""
    whole = counted(columns)
    places: dict[str, dict[str, list[int]]] = {}
    for place, one in enumerate(answers):
        for kind, values in one.origin.tags.items():
            for value in values:
                places.setdefault(kind, {}).setdefault(value, []).append(place)
    return {
        kind: {
            value: _cell(whole.only(np.array(found[value])))
            for value in sorted(found, key=lambda v: -len(found[v]))[:MOST_TAGS]
        }
        for kind, found in places.items()
        if kind not in HIDDEN_TAGS
    }


def _cell(found: Sums) -> Figures:
    made = figures(found)
    return {key: made[key] for key in ("answers", "tokens", "pooled", "interval")} | {"few": made["answers"] < FEW}


def switch_points(columns: Sequence[Columns]) -> Figures | None:
    """Mean over the positions that have one; None where no record holds any."""
    found = [one.switch[one.counted & np.isfinite(one.switch)] for one in columns]
    values = np.concatenate(found) if found else np.zeros(0)
    if not len(values):
        return None
    return {"tokens": len(values), "mean": float(values.mean()), "median": float(np.median(values))}


def as_original(columns: Sequence[Columns]) -> Figures:
    """As the original code counts: the aligned model's first choice in the base's list of ten, end tokens in."""
    found = [one.original for one in columns]
    total = sum(one.tokens for one in found)
    names = ("unshifted", "marginal", "shifted", "kl", "jaccard")
    shares = {name: (sum(getattr(one, name) for one in found) / total if total else None) for name in names}
    return {
        "tokens": total,
        **{name: shares[name] for name in names[:3]},
        "mean_kl_at_10": shares["kl"],
        "mean_jaccard_at_10": shares["jaccard"],
    }


def between_contexts(answers: Sequence[Answered]) -> Figures | None:
    """Only the question in sight, less the method's prompt in sight, over the same tokens."""
    held = [one for one in answers if {"zero_shot", "urial"} <= one.contexts.keys()]
    if not held:
        return None
    first, second = (counted([one.contexts[name] for one in held]) for name in ("zero_shot", "urial"))
    return difference(first, second)


def between_methods(corpus: Corpus) -> list[Figures]:
    """Each two methods, each with its own prompt in sight, over the questions that both answered."""
    return [_between(corpus, first, second) for first, second in combinations(corpus.methods, 2)]


def _between(corpus: Corpus, first: str, second: str) -> Figures:
    found = [{one.origin.id: one for one in corpus.of(name) if "urial" in one.contexts} for name in (first, second)]
    shared = [name for name in found[0] if name in found[1]]
    one, other = (counted([held[name].contexts["urial"] for name in shared]) for held in found)
    return {"first": first, "second": second, "context": "urial", **difference(one, other)}


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
