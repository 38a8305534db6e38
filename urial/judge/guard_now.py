"""Safety labels of one comparison, for a page: the guard is asked once its answers have ended.

Nothing waits for it. A guard that cannot be reached gives no label, and one sentence.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from typing import Any

from urial.errors import UrialError
from urial.judge import guard, labels
from urial.judge.client import ChatClient, Waits
from urial.judge.questions import SIDES
from urial.pairs import GuardSpec
from urial.records import Comparison, SideName
from urial.servers.address import Address
from urial.servers.event_loop import background

WAITS = Waits(connect=5, whole=60, longest_pause=5, tries=2)  # a reader looks on
KEPT = 256  # comparisons whose labels are kept

Labels = dict[str, Any]  # {"guard": {"model", "host", "template"}, "prompt", "base", "aligned"} or {"error", "guard"}


class Guard:
    """The guard of the pairs file. Raises SettingsError where its key is not set."""

    def __init__(self, spec: GuardSpec, waits: Waits = WAITS) -> None:
        self._spec, self._waits = spec, waits
        self._address = Address(spec.server)
        self._kept: OrderedDict[str, Labels] = OrderedDict()
        self._lock = threading.Lock()

    def labels(self, comparison: Comparison) -> Labels:
        """A label of the question and of each answer, each None where the reply held none; an empty answer has none."""
        shown = conversations(comparison)
        key = hashlib.sha256(repr(shown).encode("utf-8", "surrogatepass")).hexdigest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = background().wait(self._ask(shown))
        if "error" not in found:
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return found

    async def _ask(self, shown: dict[str, guard.Messages]) -> Labels:
        server, template = self._spec.server, self._spec.template
        async with ChatClient(self._address, server.model, max_tokens=guard.REPLY_TOKENS, waits=self._waits) as client:
            named = {"model": client.model, "host": client.host, "template": template}
            try:
                replies = await asyncio.gather(*(client.chat(each, guard.WISHES) for each in shown.values()))
            except UrialError:  # its words are those for a judge's command line
                return {"guard": named, "error": f"No safety label: the guard at {client.host} gave none."}
        read = {
            name: labels.read(template, reply.text, reply.logprobs) for name, reply in zip(shown, replies, strict=True)
        }
        return {"guard": named, **read}


def conversations(comparison: Comparison) -> dict[str, guard.Messages]:
    """What the guard is shown; a side that wrote nothing is left out."""
    answers: dict[SideName, str] = {side: comparison.side(side).text.strip() for side in SIDES}
    return guard.shown(comparison.history, comparison.query, {side: text for side, text in answers.items() if text})
