"""What transformers only warns of while it loads a checkpoint, as errors in one sentence.

It makes up tensors that are not there and drops those that have no place: both give answers of another model.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from urial.errors import WeightsError

# Constants that older checkpoints hold and today's code works out by itself.
WORKED_OUT = re.compile(r"(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)$")
STYLE = re.compile(r"\x1b\[[0-9;]*m")
LONGEST = 160  # characters of a report in a sentence


def check_report(report: dict[str, Any], folder: Path) -> None:
    """Raise WeightsError unless each tensor of the checkpoint has its place in the model, and the other way round."""
    missing, mismatched = report["missing_keys"], report["mismatched_keys"]
    unexpected = {name for name in report["unexpected_keys"] if not WORKED_OUT.search(name)}
    if mismatched:
        name, stored, wanted = min((key[0], tuple(key[1]), tuple(key[2])) for key in mismatched)
        raise WeightsError(
            f"The weights in {folder} do not fit their config.json: {name} is {stored} where {wanted} is needed; fetch "
            "both from one place."
        )
    if missing:
        raise WeightsError(
            f"The weights in {folder} lack {len(missing)} tensors, such as {min(missing)}; fetch them again."
        )
    if unexpected:
        raise WeightsError(
            f"The weights in {folder} hold {len(unexpected)} tensors that have no place in their config.json, such as "
            f"{min(unexpected)}; fetch both from one place."
        )


class Kept(logging.Handler):
    """What a library says while nobody is to see it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def clear_errors(folder: Path, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """transformers' errors about a folder as one sentence, with what they refer to; its notices are kept back."""
    library, kept = logging.getLogger("transformers"), Kept()
    handlers, level = library.handlers[:], transformers_logging.get_verbosity()
    library.handlers = [kept]
    transformers_logging.set_verbosity_warning()
    try:
        yield
    except kinds as error:
        raise WeightsError(f"The model in {folder} cannot be loaded: {told(error, kept.said)}") from error
    finally:
        library.handlers = handlers
        transformers_logging.set_verbosity(level)


def told(error: Exception, said: list[str]) -> str:
    """The first line of an error; one that points at a report is followed by the report."""
    text = str(error).strip()
    reason = text.split("\n")[0].strip() or type(error).__name__
    reports = [STYLE.sub("", each) for each in said if "REPORT" in each]
    if "above" not in text or not reports:
        return reason
    rows = [" ".join(row.replace("|", " ").split()) for row in reports[-1].split("\n")[1:]]
    facts = [row for row in rows if any(mark in row for mark in ("MISMATCH", "CONVERSION", "MISSING", "UNEXPECTED"))]
    return f"{reason} It says: {'; '.join(facts or rows)[:LONGEST]}"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """transformers' own bars off for a while: progress is told by whoever asked."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
