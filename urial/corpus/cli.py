"""`urial corpus QUERIES --out DIR`: arguments, a bar with the time that is left, and what is said at the end.

Heavy libraries are imported when the command runs, not before.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial.errors import SettingsError
from urial.progress import Bar

if TYPE_CHECKING:
    from urial.corpus.questions import Question
    from urial.corpus.run import Plan, Progress
    from urial.engines.pair import PairEngines
    from urial.prompts import Method

DEFAULT_METHODS = "urial"
PARALLEL = 4
RECORDED_TOP = 5  # entries of each list in a recording: half its size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("queries", metavar="QUERIES", nargs="?", help="JSONL, JSON or CSV, or held_out; left out: only the figures")
    add("--out", metavar="DIR", type=Path, required=True, help="where records, figures and the report go")
    add("--methods", metavar="NAMES", default=DEFAULT_METHODS, help="with commas between (default: urial)")
    add("--limit", metavar="N", type=int, help="only the first N questions")
    add("--export", metavar="NAMES", default="", help="also llm_comparator, just_eval, inspect, tables, or all")
    add("--parallel", metavar="N", type=int, default=PARALLEL, help=f"questions at once (default: {PARALLEL})")
    add("--skip-broken", action="store_true", help="leave questions out that cannot be read, and say which")
    add("--retry-failed", action="store_true", help="run questions once more that failed before")
    add("--models", metavar="FILE", help="the pairs file (default: models.yaml of this project)")
    add("--pair", metavar="NAME", help="a pair of the file (default: its default)")
    add("--device", metavar="D", help="cpu, cuda, cuda:0 ... (default: the GPU where there is one)")
    add("--dtype", metavar="NAME", help="float32, bfloat16, float16, int8 or nf4")
    add("--examples", metavar="K", type=int, help="examples of the URIAL methods: 0, 1, 3 or 8 (default: 3)")
    add("--prompt-file", metavar="F", help="the prompt file of the method file")
    add("--pool", metavar="F", help="examples that retrieval_icl searches: JSONL of query and answer")
    add("--max-new-tokens", metavar="N", type=int, default=256)
    add("--temperature", metavar="T", type=float, default=0.0, help="0 is greedy (default)")
    add("--top-p", metavar="P", type=float, default=1.0)
    add("--base-penalty", metavar="R", type=float, default=1.1, help="repetition penalty (1.1)")
    add("--aligned-penalty", metavar="R", type=float, default=1.0, help="repetition penalty (1.0)")
    add("--seed", metavar="S", type=int, default=0)
    add("--record", metavar="FILE", type=Path, help="also write all that a page shows into one small file")
    add(
        "--table",
        metavar="FILE",
        type=Path,
        help="also write the table of methods between the marks of a Markdown file",
    )
    add("--json", action="store_true", help="print the summary as JSON and nothing else")


def run(options: argparse.Namespace) -> int:
    """Raises UrialError; what was written before a failure stays."""
    from urial.corpus.exports import check_exports
    from urial.corpus.folder import check_schema

    check_exports(options.export)
    check_schema(options.out)
    if options.queries is not None:
        answer_all(options)
    summary = aggregate(options)
    print(json.dumps(summary, ensure_ascii=False, allow_nan=False) if options.json else as_text(summary, options.out))
    return 0


def answer_all(options: argparse.Namespace) -> None:
    from urial.corpus.questions import read_questions
    from urial.corpus.run import locked, run

    def warn(text: str) -> None:
        print(text, file=sys.stderr)

    found = read_questions(options.queries, skip_broken=options.skip_broken, warn=warn)
    questions = found if options.limit is None else found[: options.limit]
    plan = make_plan(options, questions)
    with locked(options.out):  # before weights are loaded
        pass
    engines = open_engines(options)
    with Bar(" answers", is_shown=sys.stderr.isatty() and not options.json, stays=True) as bar:
        plan.said = partial(show, bar)
        progress = run(plan, engines)
    if not options.json:
        print(in_words(progress, options.parallel))


def make_plan(options: argparse.Namespace, questions: list[Question]) -> Plan:
    """Everything that is asked, checked before any weights are loaded."""
    from urial.compare.request import Request, checked
    from urial.corpus.run import Plan
    from urial.records import SidePenalties

    for name in ("limit", "parallel", "max_new_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} {value} is too small, the least is 1.")
    methods = chosen_methods(options)
    template = Request(
        query=questions[0].query,
        method=methods[0],
        temperature=options.temperature,
        top_p=options.top_p,
        penalties=SidePenalties(base=options.base_penalty, aligned=options.aligned_penalty),
        max_new_tokens=options.max_new_tokens,
        seed=options.seed,
    )
    return Plan(options.out, questions, methods, checked(template), options.parallel, options.retry_failed)


def chosen_methods(options: argparse.Namespace) -> list[Method]:
    """Settings that belong to one method are given to that one."""
    from urial.prompts import METHODS, method

    names = list(dict.fromkeys(name.strip() for name in options.methods.split(",") if name.strip()))
    if not names:
        raise SettingsError(f"--methods names none; choose of {', '.join(METHODS)}, with commas between.")
    for option, owners in (
        ("prompt_file", ("file",)),
        ("pool", ("retrieval_icl",)),
        ("examples", ("urial", "urial_no_refusal")),
    ):
        if getattr(options, option) is not None and not set(names) & set(owners):
            raise SettingsError(f"--{option.replace('_', '-')} goes with the method {owners[0]}; add it to --methods.")
    return [
        method(
            name,
            options.examples if name in ("urial", "urial_no_refusal") else None,
            options.prompt_file if name == "file" else None,
            options.pool if name == "retrieval_icl" else None,
        )
        for name in names
    ]


def open_engines(options: argparse.Namespace) -> PairEngines:
    from urial.engines.open import open_pair
    from urial.pairs import load_pairs

    found = load_pairs(options.models)
    return open_pair(found.get(options.pair or found.default), device=options.device, dtype=options.dtype)


def aggregate(options: argparse.Namespace) -> dict[str, Any]:
    """Figures, report and exports of what is in the folder."""
    from urial.corpus import aggregate as figures
    from urial.corpus.exports import write_exports
    from urial.corpus.methods_table import write_table
    from urial.corpus.sources import record
    from urial.judge.shown import shown

    judged = shown(options.out)
    summary = figures.aggregate(options.out, judged)
    write_exports(options.out, options.export, summary)
    if options.table:
        write_table(options.table, summary)
    if options.record:
        record(options.out, options.record, RECORDED_TOP, judged)
    return summary


def in_words(progress: Progress, parallel: int) -> str:
    at_once = "one at a time" if parallel == 1 else f"{parallel} at once (--parallel 1: alone)"
    rate = f", {progress.per_minute:.1f} answers a minute, {at_once}" if progress.per_minute else ""
    parts = [f"{progress.done} made now{rate}"]
    if progress.found:
        parts.append(f"{progress.found} were there")
    if progress.failed:
        parts.append(f"{progress.failed} failed (a line each; --retry-failed runs them again)")
    return f"{progress.total} lines: {', '.join(parts)}."


def as_text(summary: dict[str, Any], folder: Path) -> str:
    """The figures for a reader at a terminal."""
    lines = [
        f"{folder}: {summary['questions']} questions, {summary['failed']} failed. "
        "Shares of tokens, 95 % intervals by bootstrap over questions."
    ]
    for name, method in summary["methods"].items():
        for context, found in method["contexts"].items():
            sees = "question" if context == "zero_shot" else "prompt"
            lines.append(f"{name:16} base sees the {sees:9} {share_text(found)}")
    return "\n".join(lines)


def share_text(context: dict[str, Any]) -> str:
    """The headline: repeats left out, the share with them beside it."""
    found = context["without_repeats"]
    if not found["tokens"]:
        return "no tokens"
    parts = []
    for name in ("unshifted", "marginal", "shifted"):
        limits = found["interval"][name]
        between = f" [{100 * limits[0]:.1f}, {100 * limits[1]:.1f}]" if limits else ""
        parts.append(f"{100 * found['pooled'][name]:5.1f} %{between} {name}")
    counts = f"n = {found['answers']} answers, {found['tokens']} tokens"
    if context["repeats"]:
        share = 100 * context["pooled"]["shifted"]
        counts += f"; {context['repeats']} repeated tokens left out (with them {share:.1f} % shifted)"
    return f"{'  '.join(parts)}  KL {found['pooled']['mean_kl']:.3f}  {counts}"


def show(bar: Bar, progress: Progress) -> None:
    """Lines that are there of all; those that were there before do not count as speed."""
    note = f"{progress.failed} failed" if progress.failed else ""
    bar.move_to(progress.found + progress.done, progress.total, note, before=progress.found)
