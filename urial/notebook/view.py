"""Records that show themselves in a notebook, coloured, by the stand-alone report in a frame without network.

Tables need pandas, which is imported when the first one is asked for.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial import records
from urial.errors import SettingsError
from urial.files import write_whole
from urial.records import Comparison
from urial.render import report
from urial.render.sentences import headline

if TYPE_CHECKING:
    import pandas

FRAME_BYTES = 1_500_000  # a report above this is not put into a notebook, which keeps each output in its file
FRAME_ROWS = 5_000  # rows of all contexts together, likewise
FRAME_HEIGHT = 620  # pixels
KINDS = ("unshifted", "marginal", "shifted")


class NotebookComparison(Comparison):
    """A record that shows itself in Jupyter, VS Code and Colab."""

    def __repr__(self) -> str:
        shares = ", ".join(f"{name}: {percent(headline(self, name).shifted)} shifted" for name in self.shift)
        return f"<comparison {self.query[:60]!r}, {len(self.aligned.token_ids)} aligned tokens; {shares}>"

    def _repr_html_(self) -> str:
        rows = sum(len(shift.tokens) for shift in self.shift.values())
        page = report.comparison_page(self) if rows <= FRAME_ROWS else ""
        if not page or len(page.encode()) > FRAME_BYTES:
            return f"{shares_table([self])}<p>Too large to show here in full: write it to a file with .to_html(…).</p>"
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" srcdoc="{html.escape(page)}" title="A comparison, token '
            f'by token" style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #8886;border-radius:8px"></iframe>'
        )

    def to_html(self, path: str | Path) -> None:
        """Write the stand-alone report."""
        write_whole(Path(path), report.comparison_page(self))

    def to_json(self) -> str:
        """The record `urial.comparison/1` as JSON text."""
        return records.to_json(self)

    def to_frame(self) -> pandas.DataFrame:
        """One row a context and token, with the record's keys as columns. Needs pandas (the extra `notebook`)."""
        return frame([{"context": name, **row} for name, row in self._rows()])

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, shift in self.shift.items():
            for row in shift.tokens:
                yield name, row.model_dump(by_alias=True)


class Comparisons(list[NotebookComparison]):
    """Several comparisons; shown as a small table."""

    def _repr_html_(self) -> str:
        return shares_table(self)

    def to_frame(self) -> pandas.DataFrame:
        """One row a question, context and token; `question` counts from 0."""
        return frame(
            [
                {"question": number, "query": each.query, "context": name, **row}
                for number, each in enumerate(self)
                for name, row in each._rows()
            ]
        )


def shown(comparison: Comparison) -> NotebookComparison:
    """The same record with a view."""
    return NotebookComparison.model_construct(**{name: getattr(comparison, name) for name in Comparison.model_fields})


def frame(rows: list[dict[str, Any]]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise SettingsError("Tables need pandas; install it, or this program's extra `notebook`.") from error
    return pandas.DataFrame(rows)


def shares_table(comparisons: Iterable[Comparison]) -> str:
    """A line for each comparison and context: how many tokens are unshifted, marginal, shifted; repeats left out."""
    lines = [
        f"<tr><td>{html.escape(each.query[:80])}</td><td>{html.escape(name)}</td><td>{counted.tokens}</td>"
        + "".join(f"<td>{percent(getattr(counted, kind))}</td>" for kind in KINDS)
        + f"<td>{shift.summary.tokens - counted.tokens}</td></tr>"
        for each in comparisons
        for name, shift in each.shift.items()
        for counted in [headline(each, name)]
    ]
    heads = "".join(f"<th>{name}</th>" for name in ("question", "the base sees", "tokens", *KINDS, "repeats left out"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f} %"
