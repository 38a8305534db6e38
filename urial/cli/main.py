"""The command line: `python -m urial pairs | prompt | compare | score | report | serve | ...`, or just `urial ...`.

Exit codes: 0 done, 2 a user's mistake with one line on standard error, 1 a failure of our own.
`--json` prints one JSON document on standard output and nothing else there. Each command's work is in `commands.py`;
this file knows only arguments, exit codes and how an error is shown.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from urial.errors import UrialError, UserMistake

EXIT_DONE, EXIT_FAILURE, EXIT_MISTAKE, EXIT_INTERRUPTED = 0, 1, 2, 130

Command = Callable[[argparse.Namespace], int]


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        raise UserMistake(f"{self.prog}: {message}; see {self.prog} --help.")


def whole_number(low: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least `low`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is too small, the least is {low}")
        return value

    return parse


def add_pair_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", metavar="FILE", help="the pairs file (default: models.yaml of this project)")
    parser.add_argument("--pair", metavar="NAME", help="a pair of the file (default: its default)")
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:0 ... (default: the GPU where there is one), mps (untested)"
    )
    parser.add_argument("--dtype", metavar="NAME", help="float32, bfloat16, float16, int8 or nf4")


def add_prompt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", metavar="M", help="how the base is prompted (default: urial)")
    parser.add_argument("--examples", metavar="K", type=whole_number(0), help="examples in the prompt: 0, 1, 3 or 8")
    parser.add_argument("--prompt-file", metavar="F", help="a prompt file; means --method file")
    parser.add_argument("--pool", metavar="F", help="examples that retrieval_icl searches: JSONL of query and answer")
    parser.add_argument("--history", metavar="FILE", help="earlier turns: a JSON list of role and content")


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--max-new-tokens", metavar="N", type=whole_number(1), default=256)
    parser.add_argument("--temperature", metavar="T", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--top-p", metavar="P", type=float, default=1.0)
    parser.add_argument("--base-penalty", metavar="R", type=float, default=1.1, help="repetition penalty (1.1)")
    parser.add_argument("--aligned-penalty", metavar="R", type=float, default=1.0, help="repetition penalty (1.0)")
    parser.add_argument("--seed", metavar="S", type=int, default=0)
    for side in ("base", "aligned"):  # after another draw of one side, the two were not decoded alike
        only = f"of the {side} side only"
        parser.add_argument(f"--{side}-temperature", metavar="T", type=float, help=only)
        parser.add_argument(f"--{side}-top-p", metavar="P", type=float, help=only)
        parser.add_argument(f"--{side}-max-new-tokens", metavar="N", type=whole_number(1), help=only)
        parser.add_argument(f"--{side}-seed", metavar="S", type=int, help=only)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contexts", metavar="C", default="zero_shot,urial", help="what the base sees when it scores")
    parser.add_argument("--json", action="store_true", help="print the record as JSON and nothing else")
    parser.add_argument("--html", metavar="FILE", help="write a self-contained report")
    parser.add_argument("--save", metavar="FILE", help="write the record as JSON")


def add_pairs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", metavar="FILE")
    parser.add_argument("--json", action="store_true")


def add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    add_prompt_arguments(parser)


def add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    add_pair_arguments(parser)
    add_prompt_arguments(parser)
    add_decoding_arguments(parser)
    add_output_arguments(parser)


def add_compare_alone(parser: argparse.ArgumentParser) -> None:
    """What `compare` takes and `score`, which writes no answer, does not."""
    add_compare(parser)
    add_aligned_method(parser)


def add_aligned_method(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--aligned-method",
        choices=("chat", "s2a"),
        default="chat",
        help="s2a: the aligned model first rewrites the query without opinion and distraction (System 2 Attention)",
    )


def add_score(parser: argparse.ArgumentParser) -> None:
    add_compare(parser)
    parser.add_argument("--answer-file", metavar="F", required=True, help="the answer to score, as UTF-8 text")


def add_steering_arguments(parser: argparse.ArgumentParser, context: str) -> None:
    """What the dial and nudging share: both sides are decoded alike but for their penalties."""
    add_pair_arguments(parser)
    add_prompt_arguments(parser)
    add_aligned_method(parser)
    parser.add_argument("--max-new-tokens", metavar="N", type=whole_number(1), default=256)
    parser.add_argument("--base-penalty", metavar="R", type=float, default=1.1, help="repetition penalty (1.1)")
    parser.add_argument("--aligned-penalty", metavar="R", type=float, default=1.0, help="repetition penalty (1.0)")
    parser.add_argument("--context", metavar="C", default=context, help=f"what the base sees (default: {context})")
    parser.add_argument("--json", action="store_true", help="print the record as JSON and nothing else")
    parser.add_argument("--save", metavar="FILE", help="write the record as JSON")


def add_dial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    add_steering_arguments(parser, "zero_shot")
    parser.add_argument("--at", metavar="L,...", default="0,0.25,0.5,0.75,1", help="0 is the base, 1 the aligned model")
    parser.add_argument("--kind", metavar="K", default="logits", help="logits mixes both models, adapter scales one")
    parser.add_argument("--temperature", metavar="T", type=float, default=0.0, help="0 is greedy (default)")
    parser.add_argument("--top-p", metavar="P", type=float, default=1.0)
    parser.add_argument("--seed", metavar="S", type=int, default=0, help="the same at all positions")


def add_nudge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query")
    add_steering_arguments(parser, "urial")
    parser.add_argument("--rule", metavar="RULE", required=True, help='"rank>3", "confidence<0.4" or "first:5"')


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", metavar="RECORD.json")
    parser.add_argument("--html", metavar="FILE", required=True)


def make_parser() -> OneLineParser:
    """All commands. Their code is imported only when they run, so that `--help` is quick."""
    from urial.bench import cli as bench
    from urial.cli import commands, steering_commands
    from urial.corpus import cli as corpus
    from urial.gallery import cli as gallery
    from urial.judge import cli as judge
    from urial.sibling import cli as sibling
    from urial.ui import serve
    from urial.workshop import cli as workshop

    parser = OneLineParser(prog="urial", description="A base model beside its chat-tuned sibling.")
    parser.add_argument("--verbose", action="store_true", help="show the log on standard error")
    found = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    table: list[tuple[str, str, Callable[[argparse.ArgumentParser], None], Command]] = [
        ("pairs", "list the pairs and whether each can run here", add_pairs, commands.pairs),
        ("prompt", "print the exact text that the base is given", add_prompt, commands.prompt),
        ("compare", "two answers and the shift of every token", add_compare_alone, commands.compare),
        ("score", "the shift of a given answer", add_score, commands.score),
        ("dial", "the answer at several amounts of alignment", add_dial, steering_commands.dial),
        ("nudge", "the base writes, the aligned model gives single tokens", add_nudge, steering_commands.nudge),
        ("report", "render a saved comparison without any model", add_report, commands.report),
        ("judge", "scores of both answers of a corpus by a judge", judge.add_arguments, judge.run),
        ("serve", "the page in a browser, as python app.py does", serve.add_arguments, serve.run),
        ("corpus", "a comparison for each of many questions, and the figures", corpus.add_arguments, corpus.run),
        ("bench", "side-by-side timings against rivals, in one run", bench.add_arguments, bench.run),
        ("gallery", "record the comparisons that the gallery shows", gallery.add_arguments, gallery.run),
        ("workshop", "export the votes and guesses of classes", workshop.add_arguments, workshop.run),
        ("sibling", "train or evaluate an aligned sibling", sibling.add_arguments, sibling.run),
    ]
    for name, description, add, run in table:
        command = found.add_parser(name, help=description, description=description)
        add(command)
        command.set_defaults(run=run, log_level=logging.WARNING if run is serve.run else logging.CRITICAL + 1)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""

    def work() -> int:
        options = make_parser().parse_args(arguments)
        level = logging.INFO if options.verbose else options.log_level
        logging.basicConfig(level=level, stream=sys.stderr)
        return options.run(options)

    return ended(work)


def ended(work: Callable[[], int]) -> int:
    """The exit code of some work; what it raises is said in one line on standard error."""
    try:
        return work()
    except UserMistake as mistake:
        return complain(mistake, EXIT_MISTAKE)
    except UrialError as failure:
        return complain(failure, EXIT_FAILURE)
    except KeyboardInterrupt:
        return complain("Interrupted.", EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing more to say
        return EXIT_FAILURE


def complain(message: object, code: int) -> int:
    """One line on standard error."""
    print(" ".join(str(message).split()), file=sys.stderr)
    return code
