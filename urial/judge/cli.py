"""`python -m urial judge`: arguments, what is said before the start and at the end.

Heavy libraries are imported when the command runs, not before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial.errors import EngineError, PairsError, RecordError, UserMistake
from urial.judge.rubrics import RUBRICS
from urial.progress import Bar
from urial.validation import first_wrong

if TYPE_CHECKING:
    from urial.judge.client import ChatClient
    from urial.judge.run import Outcome
    from urial.judge.store import Store

KEY_VARIABLE = "URIAL_JUDGE_KEY"
CEILING = 2_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `judge` takes."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="a folder that `urial corpus` has written")
    parser.add_argument("--judge", metavar="BASE_URL", help="an OpenAI-compatible server, such as http://host:8000/v1")
    parser.add_argument("--model", metavar="NAME", help="the judge's name on that server")
    parser.add_argument("--rubric", choices=RUBRICS, default=RUBRICS[0], help="what is asked (default: six-aspects)")
    parser.add_argument("--key-env", metavar="NAME", help=f"the variable that holds the key (default: {KEY_VARIABLE})")
    parser.add_argument("--limit", metavar="N", type=int, help="judge only the first N lines")
    parser.add_argument("--max-tokens", metavar="N", type=int, default=1024, help="the longest reply (1024)")
    parser.add_argument(
        "--max-tokens-in-all", metavar="N", type=int, default=CEILING, help=f"the ceiling that stops ({CEILING:,})"
    )
    parser.add_argument("--at-once", metavar="N", type=int, default=4, help="calls at once (4); 1 for a slow server")
    parser.add_argument("--wait", metavar="S", type=int, default=180, help="seconds that one reply may take (180)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent and to whom, and end")
    parser.add_argument("--guard", action="store_true", help="label prompts and answers by the guard of models.yaml")
    parser.add_argument("--models", metavar="FILE", help="the pairs file with the guard (default: models.yaml)")
    parser.add_argument("--votes", metavar="FILE", type=Path, help="people's votes, as `workshop export` gives them")
    parser.add_argument("--aggregate", metavar="FILE", type=Path, help="re-aggregate a file of just-eval's outputs")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")


def run(options: argparse.Namespace) -> int:
    """Judge, or aggregate; returns the exit code. Raises UrialError; what was judged before a failure is kept."""
    if options.aggregate:
        return aggregate(options)
    try:
        return judge_folder(options)
    finally:
        refresh_report(options.folder)


def judge_folder(options: argparse.Namespace) -> int:
    """Labels, verdicts, figures, whatever of them is asked for."""
    if options.folder is None:
        raise UserMistake("judge needs a folder that `urial corpus` has written, or --aggregate FILE.")
    for name in ("limit", "max_tokens", "max_tokens_in_all", "at_once", "wait"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UserMistake(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be 1 or more.")
    if (options.judge is None) != (options.model is None):
        raise UserMistake("judge needs both --judge BASE_URL and --model NAME.")
    if options.guard:
        asyncio.run(label(options))
    if options.judge is None:
        return show(options)  # judged already, or only labelled
    outcome = asyncio.run(judge(options))
    if outcome is not None:
        tell(outcome)
        show(options)
        if outcome.stopped_by:
            raise outcome.stopped_by
        if outcome.failed:
            raise EngineError(f"{outcome.failed} questions failed; run the same command again for them.")
    return 0


def refresh_report(folder: Path | None) -> None:
    """The corpus's report shows the judgements too: it is written again where they are newer than it."""
    from urial.corpus.folder import SUMMARY, read_summary
    from urial.corpus.report import FILE, write_report
    from urial.judge.shown import is_newer, shown

    if folder is not None and (folder / SUMMARY).is_file() and is_newer(folder, folder / FILE):
        write_report(folder, read_summary(folder), shown(folder))


def aggregate(options: argparse.Namespace) -> int:
    from urial.judge import just_eval

    found = just_eval.aggregate(options.aggregate)
    print(json.dumps(found, ensure_ascii=False, indent=None if options.json else 2))
    return 0


@contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """Raises RecordError where the folder is no corpus, UserMistake where another judge writes there."""
    from urial.corpus.lines import FILE
    from urial.judge.store import Store

    if not (folder / FILE).is_file():
        raise RecordError(f"{folder} holds no {FILE}; name a folder that `urial corpus` has written.")
    with Store(folder) as store:
        yield store


async def label(options: argparse.Namespace) -> None:
    """Safety labels by the guard of the pairs file. Raises PairsError where it has none."""
    from urial.judge import guard
    from urial.judge.client import ChatClient
    from urial.judge.questions import read_questions
    from urial.pairs import load_pairs
    from urial.servers.address import Address

    found = load_pairs(options.models)
    if found.guard is None:
        raise PairsError(f"{found.source} has no guard; add one (its first lines say how), or leave --guard out.")
    server = found.guard.server
    with open_store(options.folder) as store:
        async with ChatClient(Address(server), server.model, max_tokens=guard.REPLY_TOKENS) as client:
            questions = read_questions(options.folder)[: options.limit]
            new = [q for q in questions if guard.label_key(client, found.guard.template, q) not in store.labelled]
            print(
                f"{len(new)} questions with both answers go to the guard at {client.host}, model {server.model}: "
                f"{3 * len(new):,} calls.",
                file=sys.stderr,
            )
            if not options.dry_run:
                await guard.run(new, client, found.guard.template, store)


async def judge(options: argparse.Namespace) -> Outcome | None:
    """One run; None for a dry one."""
    from urial.judge import export
    from urial.judge.budget import Budget
    from urial.judge.run import plan, run

    with open_store(options.folder) as store:
        async with open_client(options) as client:
            found = plan(options.folder, client, options.rubric, store, options.limit)
            print(found.sentence(client.model, options.max_tokens_in_all), file=sys.stderr)
            if options.dry_run:
                return None
            budget = Budget(options.max_tokens_in_all)
            with Bar(" questions", len(found.questions), stays=True) as bar:
                outcome = await run(
                    found.questions,
                    client,
                    options.rubric,
                    store,
                    budget,
                    progress=lambda done, _: bar.move_to(done),
                    at_once=options.at_once,
                )
            about = "about " if budget.is_estimated else ""
            print(f"{budget.calls:,} calls, {about}{budget.tokens:,} tokens.", file=sys.stderr)
            if options.rubric == "six-aspects":
                export.write(options.folder, found.everything, store.replies, client)
            return outcome


def open_client(options: argparse.Namespace) -> ChatClient:
    """Raises UserMistake where the address or the key cannot be used."""
    from pydantic import ValidationError

    from urial.judge.client import ChatClient, Waits
    from urial.pairs import ServerSpec
    from urial.servers.address import Address

    variable = options.key_env or (KEY_VARIABLE if os.environ.get(KEY_VARIABLE) else None)
    try:
        spec = ServerSpec(base_url=options.judge, model=options.model, api_key_env=variable)
    except ValidationError as error:
        key = first_wrong(error).key or "base_url"
        flag = {"base_url": "--judge", "model": "--model", "api_key_env": "--key-env"}[key]
        needs = {
            "--judge": "an address such as http://localhost:8000/v1, with no key in it",
            "--model": "the judge's name on its server",
            "--key-env": "the name of an environment variable, not a key",
        }[flag]
        raise UserMistake(f"{flag} cannot be used; it must be {needs}.") from None
    waits = Waits(whole=options.wait)
    return ChatClient(Address(spec), options.model, max_tokens=options.max_tokens, waits=waits)


def tell(outcome: Outcome) -> None:
    """What happened in this run, on standard error."""
    parts = [f"{getattr(outcome, name)} {name}" for name in ("judged", "unparsed", "failed")]
    print(", ".join(parts) + ".", file=sys.stderr)
    for message in outcome.messages[:3]:
        print(message, file=sys.stderr)


def show(options: argparse.Namespace) -> int:
    """Print the folder's figures."""
    from urial.judge.summary import summary

    keep_votes(options)
    found = summary(options.folder)
    if not found["groups"] and not found["safety"]:
        raise UserMistake(f"Nothing in {options.folder} is judged yet; name a judge with --judge and --model.")
    print(json.dumps(found, ensure_ascii=False) if options.json else "\n\n".join(texts_of(found)))
    return 0


def texts_of(found: dict[str, Any]) -> list[str]:
    return [*map(as_text, found["groups"]), *map(labels_as_text, found["safety"])]


def labels_as_text(group: dict[str, Any]) -> str:
    """One guard's labels for a reader at a terminal."""
    lines = [f"labels by {group['guard']['model']} at {group['guard']['host']}, base by {group['method']}"]
    for name in ("prompt", "base", "aligned"):
        lines.append(f"{name:8} " + ", ".join(f"{count} {label}" for label, count in group[name].items()))
    return "\n".join(lines)


def as_text(group: dict[str, Any]) -> str:
    """One group's figures for a reader at a terminal."""
    judge = group["judge"]
    lines = [f"{group['rubric']} by {judge['model']} at {judge['host']}, base by {group['method']}"]
    lines.append(f"{group['questions']} questions, {group['unparsed']} unparsed, {group['failed']} failed")
    for aspect, won in group["outcomes"].items():
        sides = [group["sides"][side]["aspects"].get(aspect) for side in ("base", "aligned")]
        means = "  ".join(f"{_number(side and side['mean'])}" for side in sides)
        lines.append(f"{aspect:24} {means}  base {won['base']}, tie {won['tie']}, aligned {won['aligned']}")
    rate = group["win_rate"]
    lines.append(f"aligned wins {_share(rate['raw'])}, length-controlled {_share(rate['length_controlled'])}")
    if group["consistency"] is not None:
        lines.append(f"consistent {_share(group['consistency'])}, first place {_share(group['first_place'])}")
    reason = [rate["reason"]] if rate["reason"] else []
    return "\n".join([*lines, *reason, *group["warnings"]])


def _number(value: float | None) -> str:
    return "   -" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def keep_votes(options: argparse.Namespace) -> None:
    """People's winners of an exported workshop go beside the corpus. Raises RecordError, Failure."""
    if options.votes is not None:
        from urial.judge import votes

        votes.keep(options.folder, votes.read(options.votes))
