"""Load on a real vLLM server: users one at a time, all at once, and all at once while the server is killed.

    python -m tests.support.load_server [--only throughput|kill] [--users 32] [--tokens 48] [--places 16]
        [--method urial]

Needs URIAL_VLLM_PYTHON (see vllm_server.py). Every user asks something else; each runs a whole comparison: two
answers and the shift in both contexts. Answers are greedy, so an answer that was mixed up with another is seen: it
is not the one that the same user got alone. At last one of the answers that were cut is asked for again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.vllm_server import HOW, RUNNING, VllmServer, common, interpreter
from urial.compare.events import AlignedToken, BaseToken, Done, Failed, Waiting
from urial.compare.request import Request, make_prompts
from urial.compare.run import again, compare, result
from urial.engines.pair import PairEngines
from urial.prompts import method
from urial.records import Comparison

WORDS = ("rain", "bread", "chess", "trees", "trains", "bees", "sleep", "maps", "salt", "music", "snow", "tea")
FORMS = ("Tell me a fact about {}.", "Why do people like {}?", "Write one line about {}.")
SAME = 20  # tokens; batches of another size round differently, so a whole answer may part from itself later on


@dataclass(slots=True)
class User:
    """What one user saw."""

    query: str
    record: Comparison | None = None
    failures: list[tuple[str | None, str]] = field(default_factory=list)
    first_token: float | None = None
    longest_wait_in_line: int = 0
    seconds: float = 0.0


def request(query: str, options: argparse.Namespace) -> Request:
    return Request(query=query, method=method(options.method), max_new_tokens=options.tokens)


def run_user(engines: PairEngines, query: str, options: argparse.Namespace, count: list[int]) -> User:
    user, began = User(query), time.monotonic()
    for event in compare(engines, request(query, options)):
        if isinstance(event, BaseToken | AlignedToken):
            user.first_token = user.first_token or time.monotonic() - began
            count[0] += 1
        elif isinstance(event, Waiting):
            user.longest_wait_in_line = max(user.longest_wait_in_line, event.position)
        elif isinstance(event, Failed):
            user.failures.append((event.name, event.message))
        elif isinstance(event, Done):
            user.record = event.comparison
    user.seconds = time.monotonic() - began
    return user


def run_all(
    engines: PairEngines, queries: list[str], options: argparse.Namespace, at_once: int, count: list[int]
) -> list[User]:
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(lambda query: run_user(engines, query, options, count), queries))


def written(users: list[User]) -> int:
    """Tokens of all answers."""
    return sum(len(user.record.base.token_ids) + len(user.record.aligned.token_ids) for user in users if user.record)


def report(name: str, users: list[User], seconds: float) -> float:
    """Print one line; returns tokens per second."""
    rate = written(users) / seconds
    first = sorted(user.first_token or 0.0 for user in users)
    whole = sorted(user.seconds for user in users)
    print(
        f"{name}: {len(users)} users, {written(users)} tokens in {seconds:.0f} s = {rate:.1f} tokens/s; "
        f"first token {first[len(first) // 2]:.1f} s (median) {first[-1]:.1f} s (last), "
        f"whole comparison {whole[len(whole) // 2]:.0f} s (median) {whole[-1]:.0f} s (last)",
        flush=True,
    )
    return rate


def check_complete(users: list[User], alone: list[User]) -> None:
    """Every answer is there, is the user's own, and every token of it is scored."""
    for user, before in zip(users, alone, strict=True):
        assert user.record is not None and not user.failures, user.failures
        assert user.record.query == before.record.query
        for side in ("base", "aligned"):
            mine, theirs = getattr(user.record, side), getattr(before.record, side)
            assert mine.stop_reason in ("stop", "length") and mine.prompt_ids == theirs.prompt_ids
        for context in user.record.shift.values():
            assert len(context.tokens) == len(user.record.aligned.token_ids)
    check_own(users, alone)


def check_own(users: list[User], alone: list[User]) -> None:
    """Each answer begins as its user's own one did alone, and no other user's reaches further."""
    answers = [(side, [getattr(user.record, side).token_ids for user in alone]) for side in ("base", "aligned")]
    same = 0
    for side, before in answers:
        for number, user in enumerate(users):
            reach = [common(getattr(user.record, side).token_ids, ids) for ids in before]
            own = reach.pop(number)
            assert own >= max(reach, default=0), f"{user.query!r} got another user's answer ({side})"
            same += own >= min(SAME, len(before[number]))
    print(f"{same} of {2 * len(users)} answers as alone in their first {SAME} tokens", flush=True)


def report_scoring(engines: PairEngines) -> None:
    """How fast one request is scored: the longest that a comparison makes, alone."""
    prompts = make_prompts(engines, Request(query="What is rain?", method=method("urial", 3)))
    answer = engines.base.encode_answer("Rain is water that falls from clouds. " * 8)
    began = time.monotonic()
    engines.base.open_score(prompts.base_ids, len(answer)).extend(answer).rows()
    seconds, count = time.monotonic() - began, len(prompts.base_ids) + len(answer)
    print(f"scoring, one request: {count} tokens in {seconds:.1f} s = {count / seconds:.0f} tokens/s", flush=True)


def kill_in_the_middle(server: VllmServer, engines: PairEngines, options: argparse.Namespace) -> None:
    """All users at once; the server is killed when a quarter of the tokens is written, and started again."""
    count, users = [0], []
    queries = all_queries(options.users)
    work = threading.Thread(target=lambda: users.extend(run_all(engines, queries, options, options.users, count)))
    began = time.monotonic()
    work.start()
    while count[0] < options.users * 2 * options.tokens // 4 and work.is_alive():
        time.sleep(0.05)
    server.kill()
    killed = time.monotonic() - began
    print(f"killed after {killed:.0f} s and {count[0]} tokens; up again {server.start():.0f} s later", flush=True)
    work.join()
    report("killed in the middle", users, time.monotonic() - began)
    check_after_kill(users)
    ask_again(engines, users, options)


def check_after_kill(users: list[User]) -> None:
    """Only answers that were running are cut, each says so and keeps what it had; all others are whole."""
    cut = [(user, name) for user in users for name, _ in user.failures]
    for user in users:
        assert user.record is not None
        for name, message in user.failures:
            assert name is not None, f"the shift was lost: {message}"
            side = getattr(user.record, name)
            assert side.stop_reason == "error" and side.token_ids and "is kept; try again" in message
        for name in {"base", "aligned"} - {name for name, _ in user.failures}:
            assert getattr(user.record, name).stop_reason in ("stop", "length")
        for context in user.record.shift.values():
            assert len(context.tokens) == len(user.record.aligned.token_ids)
    whole = 2 * len(users) - len(cut)
    print(f"answers: {whole} whole, {len(cut)} cut, each with a sentence, for example: {cut[0][0].failures[0][1]}")


def ask_again(engines: PairEngines, users: list[User], options: argparse.Namespace) -> None:
    """What the page's Retry does, for the first answer that was cut."""
    user, name = next((user, name) for user in users for name, _ in user.failures)
    before = getattr(user.record, name)
    record = result(again(engines, request(user.query, options), name, user.record))
    after, other = getattr(record, name), "base" if name == "aligned" else "aligned"
    assert after.stop_reason in ("stop", "length") and getattr(record, other) == getattr(user.record, other)
    print(f"asked again: {len(before.token_ids)} tokens became {len(after.token_ids)}", flush=True)


def all_queries(users: int) -> list[str]:
    found = [form.format(word) for form in FORMS for word in WORDS]
    assert users <= len(found)
    return found[:users]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("throughput", "kill"), help="one of the two parts")
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--places", type=int, default=16, help="answers that the server writes at once")
    parser.add_argument("--method", default="urial", help="urial: a prompt of 1,200 tokens; zero_shot: of 30")
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "vllm.log")
    options = parser.parse_args()
    python = interpreter()
    if python is None or os.environ.get(RUNNING):
        raise SystemExit(f"{HOW}; {RUNNING} must not be set: this one kills its server")
    server = VllmServer(python, options.log)
    try:
        print(f"up after {server.start():.0f} s", flush=True)
        run_load(server, options)
    finally:
        server.kill()


def run_load(server: VllmServer, options: argparse.Namespace) -> None:
    engines = server.engines(at_once=options.places)
    if options.only != "kill":
        measure_throughput(engines, options)
    if options.only != "throughput":
        kill_in_the_middle(server, engines, options)


def measure_throughput(engines: PairEngines, options: argparse.Namespace) -> None:
    """One after another, then all at once; every answer has to be its user's own."""
    queries = all_queries(options.users)
    began = time.monotonic()
    alone = run_all(engines, queries, options, 1, [0])
    slow = report("one at a time", alone, time.monotonic() - began)
    began = time.monotonic()
    together = run_all(engines, queries, options, options.users, [0])
    fast = report("all at once", together, time.monotonic() - began)
    check_complete(together, alone)
    print(f"throughput ratio {fast / slow:.2f}; every answer complete, none mixed up", flush=True)
    print(f"longest line: {max(user.longest_wait_in_line for user in together)}", flush=True)
    report_scoring(engines)


if __name__ == "__main__":
    main()
