"""The command line that runs a recorded comparison again, quoted so that a shell reads back the same text."""

from __future__ import annotations

import json
import shlex
import unicodedata
from typing import get_args

from urial.pairs import Dtype
from urial.prompts import METHODS
from urial.records import Comparison, PairInfo, SideName, SideSettings

HISTORY_FILE = "history.json"
Flags = list[tuple[str, str]]
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

    A record does not hold a prompt file's path, so a comparison with one names PROMPT_FILE in its place.
    """
    flags = [("--pair", comparison.pair.name), *_prompt_flags(comparison), *_decoding_flags(comparison)]
    flags += _machine_flags(comparison.pair)
    words = ["python -m urial compare", *(f"{flag} {quote(value)}" for flag, value in flags)]
    # "--" ends the flags, so that a query that starts with a dash stays a query
    return _write_history(comparison) + " ".join([*words, "--", quote(comparison.query)])


def _prompt_flags(comparison: Comparison) -> Flags:
    settings = comparison.settings
    flags = [("--method", settings.method)]
    if settings.method in METHODS and METHODS[settings.method].counts:  # other methods refuse a number of examples
        flags.append(("--examples", str(settings.examples)))
    if settings.method == "file":
        flags.append(("--prompt-file", "PROMPT_FILE"))
    if comparison.rewrite:
        flags.append(("--aligned-method", comparison.rewrite.method))
    if comparison.history:
        flags.append(("--history", HISTORY_FILE))
    return [*flags, ("--contexts", ",".join(comparison.shift) or "zero_shot,urial")]


def _decoding_flags(comparison: Comparison) -> Flags:
    """What both sides share, then what is one side's own."""
    settings = comparison.settings
    flags = [
        ("--max-new-tokens", str(settings.max_new_tokens)),
        ("--temperature", _number(settings.temperature)),
        ("--top-p", _number(settings.top_p)),
        ("--base-penalty", _number(comparison.settings_of("base").repetition_penalty)),
        ("--aligned-penalty", _number(comparison.settings_of("aligned").repetition_penalty)),
        ("--seed", str(settings.seed)),
    ]
    for side in get_args(SideName):
        flags += _own_flags(side, settings.of(side), comparison.settings_of(side))
    return flags


def _own_flags(side: SideName, shared: SideSettings, own: SideSettings) -> Flags:
    """What differs on one side, after another draw of it; penalties are given by side anyway."""
    values = own.model_dump(exclude={"repetition_penalty"})
    different = {name: value for name, value in values.items() if value != getattr(shared, name)}
    return [(f"--{side}-{name.replace('_', '-')}", _number(value)) for name, value in different.items()]


def _number(value: float) -> str:
    """Every digit, as a shell reads it back, without a needless `.0`."""
    return repr(value).removesuffix(".0")


def _machine_flags(pair: PairInfo) -> Flags:
    """Where and in what numbers; a pair behind servers has its own."""
    if pair.dtype not in get_args(Dtype):
        return []
    return [("--device", pair.device), ("--dtype", pair.quantization or pair.dtype)]


def _write_history(comparison: Comparison) -> str:
    """The line that writes the earlier turns, or nothing."""
    if not comparison.history:
        return ""
    turns = json.dumps([message.model_dump() for message in comparison.history])
    return f"printf '%s\\n' {quote(turns)} > {HISTORY_FILE}\n"
