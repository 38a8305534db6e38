"""The methods of a corpus side by side as a Markdown table, written between two marks of a document.

So that no figure in a document is typed by hand. Knows a summary; nothing about models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from urial.corpus.folder import write_text
from urial.errors import RecordError

BEGIN, END = "<!-- methods: begin -->", "<!-- methods: end -->"
HEAD = ("method", "the base sees", "unshifted", "marginal", "shifted", "KL, nats", "answers", "tokens")
SEES = {"zero_shot": "only the question", "urial": "the method's prompt"}
NAMES = ("unshifted", "marginal", "shifted")


def methods_table(summary: dict[str, Any]) -> str:
    """A row a method and context: shares pooled over tokens with 95 % intervals, end tokens left out."""
    rows = [
        _row(method, context, figures)
        for method, found in summary["methods"].items()
        for context, figures in found["contexts"].items()
        if not (method == "zero_shot" and context == "urial")  # the same prompt once more
    ]
    lines = [" | ".join(row) for row in (HEAD, ("---",) * len(HEAD), *rows)]
    pair = summary["pair"] or {"base": "", "aligned": ""}
    told = (
        f"{summary['questions']} questions, {summary['failed']} failed; base {_cell(pair['base'])}, aligned "
        f"{_cell(pair['aligned'])}. Shares of tokens in percent, in brackets 95 % intervals over questions; "
        "repeated tokens are left out."
    )
    return "\n".join([told, "", *(f"| {line} |" for line in lines)])


def _row(method: str, context: str, found: dict[str, Any]) -> tuple[str, ...]:
    figures = found["without_repeats"]
    shares = [_share(figures["pooled"][name], figures["interval"][name]) for name in NAMES]
    kl = figures["pooled"]["mean_kl"]
    counts = (str(figures["answers"]), str(figures["tokens"]))
    return (_cell(method), SEES[context], *shares, "–" if kl is None else f"{kl:.3f}", *counts)


def _share(value: float | None, limits: list[float] | None) -> str:
    if value is None:
        return "–"
    between = f" [{100 * limits[0]:.1f}, {100 * limits[1]:.1f}]" if limits else ""
    return f"{100 * value:.1f}{between}"


def _cell(text: str) -> str:
    """A name cannot end its cell or become markup."""
    return "".join(f"\\{char}" if char in "\\|<>*_`[]" else char for char in " ".join(text.split()))


def write_table(path: Path, summary: dict[str, Any]) -> None:
    """Put the table between the marks of a document; the rest stays. Raises RecordError, Failure."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); name a Markdown file with the marks.") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RecordError(f"{path} needs the lines {BEGIN} and {END}; the table goes between them.")
    write_text(path, f"{before}{BEGIN}\n\n{methods_table(summary)}\n\n{END}{after}")
