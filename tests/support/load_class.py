"""Three hundred simulated students against a class's server: `python -m tests.support.load_class [STUDENTS]`.

Each has a cookie of its own, looks at the class as a phone does and votes within seconds of the opening. Prints JSON:
the longest wait for an accepted vote, the longest until a step was seen, the server's peak memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support import class_server

EVERY = (0.9, 1.2)  # seconds between two looks, as the page has it
WITHIN = 5.0  # seconds after the opening in which all vote


class Student:
    """One phone."""

    def __init__(self, client: httpx.AsyncClient, code: str) -> None:
        self.client, self.code = client, code
        self.seen, self.phase = "", ""
        self.when: dict[str, float] = {}  # phase -> when it was first seen

    async def join(self) -> None:
        answered = await self.client.post("api/join", json={"code": self.code, "nickname": ""})
        answered.raise_for_status()

    async def look(self) -> None:
        """Until the reveal is seen."""
        await asyncio.sleep(random.uniform(0, EVERY[1]))
        while self.phase != "revealed":
            answered = await self.client.get("api/state", params={"code": self.code, "seen": self.seen})
            if answered.status_code == 200:
                view = answered.json()
                self.seen, self.phase = view["version"], view["phase"]
                self.when.setdefault(self.phase, time.monotonic())
            await asyncio.sleep(random.uniform(*EVERY))

    async def vote(self) -> float:
        """Seconds until the vote was accepted."""
        while self.phase != "open":
            await asyncio.sleep(0.02)
        await asyncio.sleep(random.uniform(0, WITHIN))
        start = time.monotonic()
        answer = {"choice": random.choice(["a", "b", "tie", "bad"])}
        answered = await self.client.post("api/answer", json={"code": self.code, "item": 0, "answer": answer})
        answered.raise_for_status()
        return time.monotonic() - start


async def lesson(address: str, count: int) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=address, timeout=60) as teacher:
        items = [{"kind": "vote", "entry": "arctic/1"}]
        room = (await teacher.post("api/rooms", json={"items": items})).json()
        headers = {"authorization": f"Bearer {room['host']}"}

        async def step(action: str, **data: Any) -> float:
            asked = {"code": room["code"], "action": action, **data}
            (await teacher.post("api/host/step", json=asked, headers=headers)).raise_for_status()
            return time.monotonic()

        clients = [httpx.AsyncClient(base_url=address, timeout=60, limits=limits) for _ in range(count)]
        students = [Student(client, room["code"]) for client in clients]
        joined = time.monotonic()
        await asyncio.gather(*(student.join() for student in students))
        joined = time.monotonic() - joined
        looking = [asyncio.create_task(student.look()) for student in students]
        await asyncio.sleep(3)
        await step("goto", number=0)
        await asyncio.sleep(2)
        opened = await step("open")
        waits = sorted(await asyncio.gather(*(student.vote() for student in students)))
        revealed = await step("reveal")
        await asyncio.gather(*looking)
        view = (await teacher.get("api/host", params={"code": room["code"]}, headers=headers)).json()
        for client in clients:
            await client.aclose()
    return {
        "students": count,
        "votes": view["reveal"]["tally"]["n"],
        "joined_seconds": round(joined, 2),
        "vote_seconds": {"median": round(waits[count // 2], 3), "longest": round(waits[-1], 3)},
        "step_seen_seconds": {
            "open": round(max(student.when["open"] for student in students) - opened, 2),
            "revealed": round(max(student.when["revealed"] for student in students) - revealed, 2),
        },
    }


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor; 0 where the system does not tell."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        return 0.0
    user, system = path.read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, count: int) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with class_server.running(folder / "class.sqlite", port) as process:
        start, before = time.monotonic(), processor_seconds(process.pid)
        found = asyncio.run(lesson(f"http://127.0.0.1:{port}/class/", count))
        found["server_cores"] = round((processor_seconds(process.pid) - before) / (time.monotonic() - start), 2)
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            kilobytes = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]
            found["server_peak_mb"] = round(int(kilobytes) / 1000)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), int((sys.argv[1:] or ["300"])[0]))))
