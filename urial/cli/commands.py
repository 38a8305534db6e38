"""What each command does, from parsed arguments to output. Arguments themselves are in `main.py`."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from urial import records
from urial.compare.events import AlignedToken, BaseToken, Done, Event, Failed
from urial.errors import EngineError, Failure, PromptError, SettingsError, UserMistake
from urial.files import write_whole
from urial.progress import Bar
from urial.records import Comparison, ContextName, Message, Rewrite, SideName, SidePenalties, SideSettings
from urial.render.sentences import headline, repeats_sentence, unscored_sentence

if TYPE_CHECKING:  # commands import what is heavy only when they run
    from urial.compare.request import Request
    from urial.engines.base import Sampling
    from urial.engines.pair import PairEngines
    from urial.pairs import Availability, Pair
    from urial.prompts import Method

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # of a disk; whatever else a path has is the user's to mend


def pairs(options: argparse.Namespace) -> int:
    """List the pairs; the file is validated by being read."""
    from urial.pairs import Machine, availability, load_pairs

    found = load_pairs(options.models)
    machine = Machine.probe()
    rows = [(pair, availability(pair, machine)) for pair in found.pairs.values()]
    if options.json:
        print(json.dumps([listed(pair, here, found.default) for pair, here in rows], ensure_ascii=False))
        return 0
    for pair, here in rows:
        mark = "runs here" if here.can_run else "not here"
        print(f"{pair.name:34} {mark:10} {pair.title}" + (f": {here.reason}" if here.reason else ""))
    return 0


def listed(pair: Pair, here: Availability, default: str) -> dict[str, Any]:
    """One pair in the JSON list."""
    return {
        "name": pair.name,
        "title": pair.title,
        "can_run": here.can_run,
        "reason": here.reason,
        "default": pair.name == default,
    }


def prompt(options: argparse.Namespace) -> int:
    """Print the base's prompt, nothing added: not even a line break."""
    from urial.prompts import check_query

    check_query(options.query)
    sys.stdout.write(chosen_method(options).render(options.query, history(options)))
    return 0


def compare(options: argparse.Namespace) -> int:
    begin_compiling(options)
    from urial.compare import run as core

    request = make_request(options)
    engines = open_engines(options)
    return finish(options, core.compare(engines, request), engines.preparing)


def score(options: argparse.Namespace) -> int:
    begin_compiling(options)
    from urial.compare import run as core

    answer = read_text(options.answer_file, "the answer file")
    request = make_request(options)
    engines = open_engines(options)
    return finish(options, core.score(engines, request, answer), engines.preparing)


def report(options: argparse.Namespace) -> int:
    """Render a saved comparison; no model is loaded."""
    from urial.render import report

    write(options.html, report.comparison_page(records.load(options.record)))
    return 0


def chosen_method(options: argparse.Namespace) -> Method:
    """The prompt method that the arguments name. Raises PromptError or SettingsError."""
    from urial.prompts import method

    return method(options.method, options.examples, options.prompt_file, options.pool)


def history(options: argparse.Namespace) -> tuple[Message, ...]:
    from urial.prompts import load_history

    return tuple(load_history(options.history)) if options.history else ()


def make_request(options: argparse.Namespace) -> Request:
    """Everything that is asked, checked before any weights are loaded."""
    from urial.compare.request import Request, checked

    shared = Request(
        query=options.query,
        method=chosen_method(options),
        history=history(options),
        contexts=chosen_contexts(options.contexts),
        temperature=options.temperature,
        top_p=options.top_p,
        penalties=SidePenalties(base=options.base_penalty, aligned=options.aligned_penalty),
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
        aligned_method=getattr(options, "aligned_method", "chat"),
    )
    return checked(replace(shared, own={side: own_sampling(options, shared, side) for side in get_args(SideName)}))


def own_sampling(options: argparse.Namespace, shared: Request, side: SideName) -> Sampling:
    """What is asked of one side: its own flags, else those of both."""
    own = {name: getattr(options, f"{side}_{name}", None) for name in SideSettings.model_fields}
    return replace(shared.sampling(side), **{name: value for name, value in own.items() if value is not None})


def chosen_contexts(text: str) -> tuple[ContextName, ...]:
    known = get_args(ContextName)
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise SettingsError(f"--contexts {text!r}: choose one or both of {', '.join(known)}, with a comma between.")
    return tuple(name for name in known if name in names)


def begin_compiling(options: argparse.Namespace) -> None:
    """On a new machine, before transformers is imported: it takes longest. What can be told before, is."""
    from urial.engines.compile_ahead import start_compiling
    from urial.pairs import Machine

    check_places(options)
    chosen_method(options)
    start_compiling(chosen_pair(options), Machine.probe(), options.device, options.dtype)


def chosen_pair(options: argparse.Namespace) -> Pair:
    from urial.pairs import load_pairs

    found = load_pairs(options.models)
    return found.get(options.pair or found.default)


def open_engines(options: argparse.Namespace) -> PairEngines:
    """Load the chosen pair, with a bar on a terminal."""
    from urial.engines.open import open_pair

    check_places(options)
    pair = chosen_pair(options)
    with Bar("%", 100, is_shown=shows_progress(options)) as bar:
        engines = open_pair(pair, device=options.device, dtype=options.dtype, progress=bar.report)
    if engines.same:
        print(engines.same, file=sys.stderr)
    return engines


def finish(options: argparse.Namespace, events: Iterator[Event], preparing: str) -> int:
    """Read the stream to its end, then print and write what was asked for; `preparing` is what comes before it."""
    comparison, failures = follow(events, preparing, is_shown=shows_progress(options))
    print(records.to_json(comparison) if options.json else as_text(comparison))  # first: a full disk loses no answer
    if options.save:
        write(options.save, records.to_json(comparison, indent=1))
    if options.html:
        from urial.render import report

        write(options.html, report.comparison_page(comparison))
    if failures:
        raise EngineError(failures[0])
    return 0


def follow(events: Iterator[Event], preparing: str, *, is_shown: bool) -> tuple[Comparison, list[str]]:
    """The record, and what failed on the way."""
    failures: list[str] = []
    with Bar(" tokens", is_shown=is_shown) as bar:
        bar.report(preparing, None)
        for event in events:
            if isinstance(event, BaseToken | AlignedToken):
                bar.label("")
                bar.step()
            elif isinstance(event, Failed):
                failures.append(event.message)
            elif isinstance(event, Done):
                return event.comparison, failures
    raise EngineError(failures[0] if failures else "The comparison ended without a result; run it again.")


def as_text(comparison: Comparison) -> str:
    """A comparison for a reader at a terminal."""
    lines = [f"BASE ({comparison.pair.base}, {comparison.settings.method})", comparison.base.text.strip(), ""]
    lines += [
        f"ALIGNED ({comparison.pair.aligned})",
        *rewrite_lines(comparison.rewrite),
        comparison.aligned.text.strip(),
        "",
    ]
    titles = {"zero_shot": "base sees only the query", "urial": "base sees the method's prompt"}
    lines += [f"{titles[name]:30} {in_words(comparison, name)}" for name in comparison.shift]
    return "\n".join(lines)


def rewrite_lines(rewrite: Rewrite | None) -> list[str]:
    """What the aligned model was asked in place of the query, where that is so."""
    if rewrite is None:
        return []
    return [f"[{rewrite.fallback}]"] if rewrite.fallback else [f"[rewritten, then asked: {rewrite.asked}]", ""]


def in_words(comparison: Comparison, name: ContextName) -> str:
    summary, again = headline(comparison, name), repeats_sentence(comparison, name)
    left_out = " ".join(filter(None, (again, unscored_sentence(comparison.shift[name].tokens))))
    if not summary.tokens:
        return left_out or "no tokens"
    parts = [f"{100 * getattr(summary, name):.1f} % {name}" for name in ("unshifted", "marginal", "shifted")]
    counted = f"{', '.join(parts)} (n = {summary.tokens}, mean KL {summary.mean_kl:.3f} nats)"
    return f"{counted}. {left_out}" if left_out else counted


def shows_progress(options: argparse.Namespace) -> bool:
    return sys.stderr.isatty() and not options.json


def read_text(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(f"{path}: {what} cannot be read ({error.strerror}); name a text file.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path}: {what} is not UTF-8 text; save it as UTF-8.") from error


def check_places(options: argparse.Namespace) -> None:
    """Raise UserMistake for a file that cannot be written, before models have worked for it."""
    for path in (options.save, getattr(options, "html", None)):
        if path and Path(path).is_dir():
            raise UserMistake(f"{path} is a folder; name a file in it.")
        if path and not Path(path).parent.is_dir():
            raise UserMistake(f"{path} cannot be written, because its folder is not there; make it, or choose another.")


def write(path: str, text: str) -> None:
    """Write a whole file or say why not. A wrong path is the user's to mend, a full disk is a failure."""
    try:
        write_whole(Path(path), text)
    except OSError as error:
        if error.errno in FULL:
            message = f"{path} could not be written ({error.strerror}); free some space and run it again."
            raise Failure(message) from error
        raise UserMistake(f"{path} cannot be written ({error.strerror}); choose another file.") from error
