"""For people who write Python: `import urial; pair = urial.load(); pair.compare("Why do cats purr?")`.

A comparison shows itself in a notebook, coloured, by the stand-alone report in a frame without network. Read
`records.py` for what a comparison holds and `events.py` for what `stream` gives. Importing this loads no model.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from urial import records
from urial.compare import run as core
from urial.compare.events import AlignedToken, BaseToken, Event
from urial.compare.request import AlignedMethod, Request, checked
from urial.compare.steering_events import SteeringDone
from urial.errors import EngineError, SettingsError
from urial.files import write_whole
from urial.pairs import load_pairs
from urial.progress import Bar, Progress
from urial.prompts import method as find_method
from urial.prompts import to_messages
from urial.records import Comparison, ContextName, SidePenalties
from urial.render import report
from urial.render.sentences import headline
from urial.steering_records import DialKind, DialRecord, NudgeRecord

if TYPE_CHECKING:
    import pandas

    from urial.compare.steering_events import SteeringEvent
    from urial.engines.pair import PairEngines
    from urial.notebook_corpus import CorpusFigures

FRAME_BYTES = 1_500_000  # a report above this is not put into a notebook, which keeps each output in its file
FRAME_ROWS = 5_000  # rows of all contexts together, likewise
FRAME_HEIGHT = 620  # pixels
LINE_SECONDS = 0.2  # between two states of the line that is shown while a comparison runs
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


class LoadedPair:
    """A base model and its aligned sibling in memory. The keyword arguments of all methods are those of `ask`."""

    def __init__(self, engines: PairEngines) -> None:
        self.engines = engines

    @property
    def info(self) -> records.PairInfo:
        """What is loaded: names, revisions, precision, device."""
        return self.engines.info

    def __repr__(self) -> str:
        info = self.info
        return f"<pair {info.name}: {info.base} and {info.aligned}, {info.dtype} on {info.device}>"

    def compare(self, query: str, **options: Any) -> NotebookComparison:
        """Both answers and the shift of every token. Raises UserMistake for wrong input, EngineError for a failure."""
        return shown(core.result(counted(self.stream(query, **options))))

    def compare_all(self, queries: Iterable[str], **options: Any) -> Comparisons:
        """One comparison after another, with the same settings."""
        return Comparisons([self.compare(query, **options) for query in queries])

    def stream(self, query: str, **options: Any) -> Iterator[Event]:
        """The comparison as events, while it is made; closing the iterator stops it."""
        return core.compare(self.engines, ask(query, **options))

    def dial(
        self,
        query: str,
        at: Iterable[float] = (0, 0.25, 0.5, 0.75, 1),
        context: ContextName = "zero_shot",
        kind: DialKind = "logits",
        **options: Any,
    ) -> DialRecord:
        """The answer at several amounts of alignment: 0 is the base's in that context, 1 the aligned one.

        Raises UserMistake for wrong input, EngineError for a failure. `switch_points` are of the answer at 1.
        """
        from urial.compare.dial import dial

        return steered(dial(self.engines, ask(query, **options), list(at), context, kind))

    def nudge(self, query: str, rule: str, context: ContextName = "urial", **options: Any) -> NudgeRecord:
        """The base writes, and the aligned model gives tokens by the rule: "rank>3", "confidence<0.4" or "first:5".

        Raises UserMistake for wrong input, EngineError for a failure.
        """
        from urial.compare.nudge import nudge
        from urial.compare.nudge_rules import parse_rule

        return steered(nudge(self.engines, ask(query, **options), parse_rule(rule), context))

    def corpus(
        self, questions: str | Iterable[str], folder: str, methods: Sequence[str] = ("urial",), **options: Any
    ) -> CorpusFigures:
        """Many questions by each method into a folder, going on where it stands; `questions` are texts or a file."""
        from urial.notebook_corpus import run_corpus

        return run_corpus(self.engines, questions, folder, methods, without_rewrite(ask("any", **options)))

    def score(self, query: str, answer: str, **options: Any) -> NotebookComparison:
        """The shift of a given answer instead of a generated one."""
        request = without_rewrite(ask(query, **options))
        return shown(core.result(counted(core.score(self.engines, request, answer))))


def load(
    name: str | None = None,
    *,
    models: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> LoadedPair:
    """Load a pair: by default the embedded one, which needs neither a GPU nor a hub.

    `models` is a pairs file; by default models.yaml of the working folder, else the one that comes with the program.
    `dtype` is float32, bfloat16, float16, int8 or nf4. Raises PairsError, SettingsError, WeightsMissing, WeightsError,
    MismatchError; EngineError where a server cannot be reached.
    """
    from urial.engines.open import open_pair

    found = load_pairs(models)
    with progress_line() as report:
        return LoadedPair(open_pair(found.get(name or found.default), device=device, dtype=dtype, progress=report))


def ask(
    query: str,
    *,
    method: str | None = None,
    examples: int | None = None,
    prompt_file: str | None = None,
    pool: str | None = None,
    history: Iterable[Mapping[str, str]] = (),
    contexts: Iterable[str] = ("zero_shot", "urial"),
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    base_penalty: float = 1.1,
    aligned_penalty: float = 1.0,
    aligned_method: AlignedMethod = "chat",
    seed: int = 0,
) -> Request:
    """A checked request. Temperature 0 is greedy; `history` holds messages with the keys role and content.

    `aligned_method` s2a has the aligned model rewrite the query first, as System 2 Attention does; the record has it.
    Raises PromptError or SettingsError with one sentence.
    """
    wanted = tuple(contexts)
    if not wanted or not set(wanted) <= {"zero_shot", "urial"}:
        raise SettingsError(f"contexts are {wanted!r}; choose one or both of zero_shot and urial.")
    if aligned_method not in get_args(AlignedMethod):
        raise SettingsError(f"aligned_method is {aligned_method!r}; choose chat or s2a.")
    return checked(
        Request(
            query=query,
            method=find_method(method, examples, prompt_file, pool),
            history=tuple(to_messages(history)),
            contexts=tuple(name for name in ("zero_shot", "urial") if name in wanted),
            temperature=temperature,
            top_p=top_p,
            penalties=SidePenalties(base=base_penalty, aligned=aligned_penalty),
            max_new_tokens=max_new_tokens,
            seed=seed,
            aligned_method=aligned_method,
        )
    )


def without_rewrite(request: Request) -> Request:
    """The same request. Raises SettingsError where it asks for a rewrite, which nothing would make."""
    if request.aligned_method != "chat":
        raise SettingsError("A given answer and a corpus are made without a rewrite; leave aligned_method out.")
    return request


def steered(events: Iterator[SteeringEvent]) -> Any:
    """The record at the end. Raises EngineError where something failed on the way."""
    *_, last = events
    assert isinstance(last, SteeringDone)  # the last event of every stream
    if last.record.problems:
        raise EngineError(last.record.problems[0])
    return last.record


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


def counted(events: Iterator[Event]) -> Iterator[Event]:
    """The same events, with a live line that counts tokens of both answers."""
    tokens, due = {BaseToken: 0, AlignedToken: 0}, 0.0
    with progress_line() as report:
        for event in events:
            if type(event) in tokens:
                tokens[type(event)] += 1
                if time.monotonic() >= due:  # a notebook's line is a message to the browser each time
                    report(f"base {tokens[BaseToken]} tokens, aligned {tokens[AlignedToken]} tokens", None)
                    due = time.monotonic() + LINE_SECONDS
            yield event


@contextmanager
def progress_line() -> Iterator[Progress]:
    """A function (what, fraction done or None) that rewrites one line, which is gone at the end.

    In a notebook the line is an output of the cell, at a terminal it is on standard error; elsewhere there is none.
    """
    shell = notebook_shell()
    if shell is None:
        with Bar("", layout="{desc}") as bar:
            yield lambda what, fraction: bar.report(line_of(what, fraction), None)
        return
    handle = shell.display({"text/plain": ""}, raw=True, display_id=True)
    try:
        yield lambda what, fraction: handle.update({"text/plain": line_of(what, fraction)}, raw=True)
    finally:
        handle.update({"text/html": "", "text/plain": ""}, raw=True)


def notebook_shell() -> Any:
    """IPython's display module where a notebook's kernel runs this, else None."""
    if "IPython" not in sys.modules:
        return None
    from IPython import display, get_ipython

    return display if getattr(get_ipython(), "kernel", None) is not None else None


def line_of(what: str, fraction: float | None) -> str:
    return what if fraction is None else f"{what}: {fraction:.0%}"
