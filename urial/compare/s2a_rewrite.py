"""System 2 Attention on the aligned side: its first call, made before the comparison, and what is asked instead.

Where the rewrite cannot be read the query itself is asked, and the record says why. Earlier turns stay as they were
written; only the last one is rewritten. Read `run.py` for the rest.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from urial.compare.request import Control, Request
from urial.compare.side import OpenText, SideRun
from urial.engines.base import Sampling
from urial.engines.pair import PairEngines
from urial.prompts import s2a
from urial.records import Message, Rewrite, Side

LEAST_ROOM = 160  # tokens for a rewrite; a long query gets twice its own length
MOMENT = 0.02  # seconds between two looks at whether it was stopped


def rewritten(engines: PairEngines, request: Request, control: Control) -> Request:
    """The same request with its rewrite, where one is asked for and not there yet. Raises as `rewrite` does."""
    if request.aligned_method != "s2a" or request.rewrite is not None:
        return request
    return replace(request, rewrite=rewrite(engines, request, control))


def rewrite(engines: PairEngines, request: Request, control: Control) -> Rewrite:
    """The aligned model's rewrite of the query, greedy. Raises SettingsError where it does not fit, EngineError."""
    model = engines.aligned
    prompt = model.render_chat([Message(role="user", content=s2a.rewrite_request(request.query))])
    ids = model.encode_chat(prompt)
    room = max(LEAST_ROOM, 2 * len(model.encode_answer(request.query)))
    model.check_length(len(ids), room)
    sampling = Sampling(temperature=0.0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=room, seed=request.seed)
    run, news = SideRun(prompt, ids, model.generate(ids, sampling), OpenText()), threading.Event()
    run.listen(news)
    try:
        while run.is_running:
            if control.is_stopped("aligned"):
                run.end("cancelled")
            elif run.is_ready:
                run.step()
            else:
                news.wait(MOMENT)
                news.clear()
    finally:
        run.end("error")
        model.forget(ids)
    return read(run.side(), request.query)


def read(call: Side, query: str) -> Rewrite:
    """What is asked after that call."""
    found = s2a.read(call.text) if call.stop_reason == "stop" else None
    if found is not None:
        context, question = found
        asked = s2a.answer_request(context, question)
        return Rewrite(method=s2a.NAME, call=call, context=context, question=question, asked=asked)
    reasons = {
        "stop": "The rewrite has no question in it",
        "length": "The rewrite did not end in time",
        "cancelled": "The rewrite was stopped",
    }
    why = f"{reasons.get(call.stop_reason, 'The rewrite failed')}: the question was asked as it stands."
    return Rewrite(method=s2a.NAME, call=call, asked=query, fallback=why)
