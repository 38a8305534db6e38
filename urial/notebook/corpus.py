"""A corpus for people who write Python: `pair.corpus(questions, folder)` runs it, and what it gives shows itself.

The folder is that of `urial corpus`: either goes on where the other stopped. `corpus/figures.py` makes the summary.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial.compare.request import Request
from urial.corpus.aggregate import aggregate
from urial.corpus.questions import Question, read_questions
from urial.corpus.report import FILE
from urial.corpus.run import Plan, Progress, run
from urial.errors import PromptError, SettingsError
from urial.notebook.live_line import progress_line
from urial.notebook.view import FRAME_BYTES, FRAME_HEIGHT, KINDS, frame, percent
from urial.prompts import method

if TYPE_CHECKING:
    import pandas

    from urial.engines.pair import PairEngines


class CorpusFigures:
    """The figures of a folder; in a notebook they show themselves by the folder's own report."""

    def __init__(self, folder: Path, summary: dict[str, Any]) -> None:
        self.folder = folder
        self.summary = summary  # the content of summary.json

    def __repr__(self) -> str:
        names = ", ".join(self.summary["methods"])
        return f"<corpus {self.folder}: {self.summary['questions']} questions by {names}>"

    def _repr_html_(self) -> str:
        page = (self.folder / FILE).read_text(encoding="utf-8")
        if len(page.encode()) > FRAME_BYTES:
            path = html.escape(str(self.folder / FILE))
            return f"{self._table()}<p>The report is too large to show here: open <code>{path}</code>.</p>"
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" srcdoc="{html.escape(page)}" title="Figures of a corpus" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8886;border-radius:8px"></iframe>'
        )

    def shares(self) -> pandas.DataFrame:
        """One row a method, context and class: the pooled share of tokens with its 95 % interval, as fractions."""
        return frame(list(self._shares()))

    def most_shifted(self, method: str, context: str = "zero_shot") -> pandas.DataFrame:
        """One row a token, falling by how often it is shifted. Raises SettingsError for what is not in the folder."""
        rows = self._figures(method, context)["most_shifted"]
        return frame(rows).reindex(columns=["text", "shifted", "occurrences", "share", "opening"])

    def curve(self, method: str, measure: str = "kl") -> pandas.DataFrame:
        """Means by 0-based position with their 95 % intervals: kl in nats, or another key of the summary's curves."""
        parts = []
        for context, found in self._contexts(method):
            curves = found["curves"]
            if not isinstance(curves.get(measure), dict) or "mean" not in curves[measure]:
                known = [key for key, line in curves.items() if isinstance(line, dict) and "mean" in line]
                raise SettingsError(f"There is no curve of {measure!r}; choose one of {', '.join(known)}.")
            line = curves[measure]
            cells = zip(curves["n"], line["mean"], line["low"], line["high"], strict=True)
            parts += [
                {"context": context, "position": place, "n": n, "mean": mean, "low": low, "high": high}
                for place, (n, mean, low, high) in enumerate(cells)
            ]
        return frame(parts)

    def _shares(self) -> Iterator[dict[str, Any]]:
        for name in self.summary["methods"]:
            for context, figures in self._contexts(name):
                found = figures["without_repeats"]
                for kind in KINDS:
                    low, high = found["interval"][kind] or (None, None)
                    row = {"share": found["pooled"][kind], "low": low, "high": high}
                    yield {"method": name, "context": context, "class": kind, **row, "tokens": found["tokens"]}

    def _contexts(self, method: str) -> Iterable[tuple[str, dict[str, Any]]]:
        if method not in self.summary["methods"]:
            raise SettingsError(
                f"No answers by {method!r} are there; choose one of {', '.join(self.summary['methods'])}."
            )
        return self.summary["methods"][method]["contexts"].items()

    def _figures(self, method: str, context: str) -> dict[str, Any]:
        found = dict(self._contexts(method))
        if context not in found:
            raise SettingsError(f"There is no context {context!r}; choose one of {', '.join(found)}.")
        return found[context]

    def _table(self) -> str:
        lines = [
            f"<tr><td>{html.escape(row['method'])}</td><td>{html.escape(row['context'])}</td><td>{row['class']}</td>"
            f"<td>{percent(row['share'])}</td><td>{percent(row['low'])} to {percent(row['high'])}</td></tr>"
            for row in self._shares()
        ]
        heads = "".join(f"<th>{name}</th>" for name in ("method", "the base sees", "class", "share", "95 % interval"))
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def run_corpus(
    engines: PairEngines,
    questions: str | Path | Iterable[str],
    folder: str | Path,
    methods: Sequence[str],
    ask: Request,
) -> CorpusFigures:
    """Make what is missing in the folder, with the settings of `ask`. Raises UrialError; what was written stays."""
    if isinstance(methods, str) or not methods:
        raise SettingsError("methods is a list of names, for example ['zero_shot', 'urial'].")
    chosen = [method(name) for name in dict.fromkeys(methods)]
    place = Path(folder)
    plan = Plan(place, asked(questions), chosen, replace(ask, method=chosen[0]))
    with progress_line() as report:

        def said(progress: Progress) -> None:
            report("comparisons", (progress.found + progress.done) / max(1, progress.total))

        plan.said = said
        run(plan, engines)
    return CorpusFigures(place, aggregate(place))


def asked(questions: str | Path | Iterable[str]) -> list[Question]:
    """A file or a name as `urial corpus` takes it, or the questions themselves, numbered from 1."""
    if isinstance(questions, str | Path):
        return read_questions(str(questions))
    texts = list(questions)
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise PromptError("The questions are a file's name or a list of texts, at least one and none of them empty.")
    return [Question(str(number), text) for number, text in enumerate(texts, start=1)]
