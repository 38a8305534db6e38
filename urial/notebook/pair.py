"""A loaded pair, and what it does: compare, stream, score, dial, nudge, run a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from urial import records
from urial.compare import run as core
from urial.compare.events import Event
from urial.compare.steering_events import SteeringDone
from urial.errors import EngineError
from urial.notebook.asking import ask, without_rewrite
from urial.notebook.live_line import counted, progress_line
from urial.notebook.view import Comparisons, NotebookComparison, shown
from urial.pairs import load_pairs
from urial.records import ContextName
from urial.steering_records import DialKind, DialRecord, NudgeRecord

if TYPE_CHECKING:
    from urial.compare.steering_events import SteeringEvent
    from urial.engines.pair import PairEngines
    from urial.notebook.corpus import CorpusFigures


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
        from urial.notebook.corpus import run_corpus

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


def steered(events: Iterator[SteeringEvent]) -> Any:
    """The record at the end. Raises EngineError where something failed on the way."""
    *_, last = events
    assert isinstance(last, SteeringDone)  # the last event of every stream
    if last.record.problems:
        raise EngineError(last.record.problems[0])
    return last.record
