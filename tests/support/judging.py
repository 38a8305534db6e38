"""What tests of the judge share: a short corpus, one run, its figures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.support.judge_server import JudgeServer
from urial.judge import summary
from urial.judge.budget import Budget
from urial.judge.client import ChatClient, Waits
from urial.judge.run import Outcome, plan, run
from urial.judge.store import Store
from urial.pairs import ServerSpec
from urial.servers.address import Address

PATIENT = Waits(connect=10, whole=30, longest_pause=1.5, first_pause=0.01, tries=3)  # however busy the machine is
QUICK = Waits(connect=10, whole=2, longest_pause=1.5, first_pause=0.01, tries=3)  # where the server hangs
BETTER = [("a [2]", "a [4]"), ("b [3]", "bb [3]"), ("c [1]", "c [5]"), ("d [4]", "d [3]")]


def judge(
    folder: Path, server: JudgeServer, rubric: str = "six-aspects", *, ceiling: int = 10**9, waits: Waits = PATIENT
) -> tuple[Outcome, Budget]:
    async def work() -> tuple[Outcome, Budget]:
        address = Address(ServerSpec(base_url=server.url, model="judge"))
        budget = Budget(ceiling)
        with Store(folder) as store:
            async with ChatClient(address, "judge", waits=waits) as client:
                found = plan(folder, client, rubric, store)
                return await run(found.questions, client, rubric, store, budget), budget

    return asyncio.run(work())


def group(folder: Path) -> dict[str, Any]:
    (found,) = summary(folder)["groups"]
    json.dumps(found, allow_nan=False)
    return found
