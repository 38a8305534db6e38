"""The rows of an answer that is given: both models read it, in as many contexts as are asked.

Knows engines and the scoring; nothing about who wrote the answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

from urial.compare.events import ShiftRows
from urial.compare.live_scoring import Growing, emit
from urial.compare.request import Control, Prompts
from urial.compare.scoring import Columns, ExactComparison, Scoring, make_rows
from urial.engines.local.bounded_stream import Stream
from urial.engines.local.request_outputs import score_given
from urial.engines.pair import PairEngines

MOMENT = 0.05  # seconds between two looks at a stop


def score_exactly(
    engines: PairEngines,
    prompts: Prompts,
    ids: Sequence[int],
    texts: Sequence[str],
    rows: Growing,
    control: Control | None = None,
) -> Iterator[ShiftRows]:
    """By two models of this process; a stop of the aligned side ends it, with the rows so far in every context."""
    exact = ExactComparison(engines, prompts.context_ids, len(ids))
    reader = engines.local("aligned").reader(prompts.aligned_ids, len(ids))
    with closing(score_given(ids, reader, exact.followers, exact.compare, exact.vocabulary)) as found:
        done = 0
        for columns in unless_stopped(found, control or Control()):
            stop = done + len(next(iter(columns.values())).kl)
            yield from emit(rows, make_rows(engines.aligned, columns, done, ids[done:stop], texts[done:stop]))
            done = stop


def unless_stopped(found: Stream[Columns], control: Control) -> Iterator[Columns]:
    """What the stream brings until the aligned side is stopped: reading the contexts may take seconds."""
    arrived = threading.Event()
    found.listen(arrived)
    while not control.is_stopped("aligned"):
        arrived.clear()
        if not found.is_ready():
            arrived.wait(MOMENT)
        elif (columns := next(found, None)) is None:
            return
        else:
            yield columns


def score_by_asking(
    engines: PairEngines,
    prompts: Prompts,
    ids: Sequence[int],
    texts: Sequence[str],
    rows: Growing,
    control: Control | None = None,
) -> Iterator[ShiftRows]:
    """As many at a time as is cheap; a server reads all in one go."""
    control = control or Control()
    with closing(Scoring(engines, prompts.aligned_ids, prompts.context_ids, len(ids))) as scoring:
        size = len(ids) if engines.rereads_context else scoring.next_chunk
        for start in range(0, len(ids), size):
            if control.is_stopped("aligned"):
                return
            chunk = slice(start, start + size)
            yield from emit(rows, scoring.ask(ids[chunk], texts[chunk], None).rows())
