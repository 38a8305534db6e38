"""The command line that runs a recorded comparison again, quoted so that a shell reads back the same text.

Knows the record and the flags of `python -m urial compare`; knows nothing about pages, models or prompts.
"""

from __future__ import annotations

import json
import shlex
import unicodedata

from urial.records import Comparison

HISTORY_FILE = "history.json"
_HIDDEN = {"Cc", "Cf", "Zl", "Zp"}  # control, format (bidi, zero width) and line separators


def quote(text: str) -> str:
    """One word for bash and zsh; text that holds invisible characters shows them as escapes (`$'...'`).

    Plain quoting would put raw escape sequences and bidi controls on the clipboard, where nobody sees them.
    """
    if not any(unicodedata.category(char) in _HIDDEN for char in text):
        return shlex.quote(text)
    return "$'" + "".join(map(_ansi_c, text)) + "'"


def _ansi_c(char: str) -> str:
    """One character inside `$'...'`."""
    if char in "\\'":
        return "\\" + char
    if char == "\n":
        return "\\n"
    if unicodedata.category(char) not in _HIDDEN:
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def command(comparison: Comparison) -> str:
    """The command, one line; a comparison with earlier turns needs a line before it that writes them to a file.

    Top-p and the repetition penalties have no flag: they are the method's and the pair's own.
    """
    settings, pair = comparison.settings, comparison.pair
    flags = [
        ("--pair", pair.name),
        ("--method", settings.method),
        ("--examples", str(settings.examples)),
        ("--contexts", ",".join(comparison.shift) or "zero_shot,urial"),
        ("--max-new-tokens", str(settings.max_new_tokens)),
        ("--temperature", f"{settings.temperature:g}"),
        ("--seed", str(settings.seed)),
        ("--device", pair.device),
        ("--dtype", pair.dtype),
    ]
    if comparison.history:
        flags.append(("--history", HISTORY_FILE))
    words = ["python -m urial compare", *(f"{flag} {quote(value)}" for flag, value in flags)]
    # "--" ends the flags, so that a query that starts with a dash stays a query
    return _write_history(comparison) + " ".join([*words, "--", quote(comparison.query)])


def _write_history(comparison: Comparison) -> str:
    """The line that writes the earlier turns, or nothing."""
    if not comparison.history:
        return ""
    turns = json.dumps([message.model_dump() for message in comparison.history])
    return f"printf '%s\\n' {quote(turns)} > {HISTORY_FILE}\n"
