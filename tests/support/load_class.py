"""Three hundred simulated students against a class's server: `python -m tests.support.load_class [STUDENTS]`.

Each has a cookie of its own, looks at the class as a phone does and answers within seconds of each opening: once for
every kind of item. Prints JSON: by kind the answers that were counted, the longest wait for an accepted one and the
longest until a step was seen; then what the server used.
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
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx

from tests.support import class_server
from urial.workshop.kinds import CHOICES, KINDS

RECORDING = "healthy/1"  # every kind of item can be asked of it
EVERY = (0.9, 1.2)  # seconds between two looks, as the page has it
WITHIN = 5.0  # seconds after the opening in which all answer

Moment = tuple[int, str]  # an item's number, and its phase


class Student:
    """One phone."""

    def __init__(self, client: httpx.AsyncClient, code: str) -> None:
        self.client, self.code = client, code
        self.view: dict[str, Any] = {"version": "", "phase": ""}
        self.when: dict[Moment, float] = {}  # when it was first seen
        self.reached: defaultdict[Moment, asyncio.Event] = defaultdict(asyncio.Event)

    async def join(self) -> None:
        answered = await self.client.post("api/join", json={"code": self.code, "nickname": ""})
        answered.raise_for_status()

    async def look(self) -> None:
        """Until the class has ended."""
        await asyncio.sleep(random.uniform(0, EVERY[1]))
        while self.view["phase"] != "ended":
            answered = await self.client.get("api/state", params={"code": self.code, "seen": self.view["version"]})
            if answered.status_code == 200:
                self.view = answered.json()
                moment = ((self.view["item"] or {"number": -1})["number"], self.view["phase"])
                self.when.setdefault(moment, time.monotonic())
                self.reached[moment].set()
            await asyncio.sleep(random.uniform(*EVERY))

    async def answer(self, number: int) -> float:
        """Seconds until the answer was accepted."""
        await self.reached[number, "open"].wait()
        await asyncio.sleep(random.uniform(0, WITHIN))
        start = time.monotonic()
        given = guess(self.view["item"]["kind"], self.view["question"])
        answered = await self.client.post("api/answer", json={"code": self.code, "item": number, "answer": given})
        answered.raise_for_status()
        return time.monotonic() - start


def guess(kind: str, question: dict[str, Any]) -> dict[str, Any]:
    """An answer of that kind by one who knows nothing."""
    if kind == "vote":
        return {"choice": random.choice(CHOICES)}
    if kind == "dial":
        return {"percent": random.randint(0, 100)}
    return {
        "words": [number for number, (_, is_word) in enumerate(question["words"]) if is_word and random.random() < 0.2]
    }


def counted(reveal: dict[str, Any]) -> int:
    """The answers behind a reveal."""
    return reveal["tally"]["n"] if "tally" in reveal else reveal["n"]


class Teacher:
    """The host of a room with one item of each kind."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.room: dict[str, str] = {}

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.room['host']}"}

    async def open_room(self) -> str:
        """Its code."""
        items = [{"kind": kind, "entry": RECORDING} for kind in KINDS]
        self.room = (await self.client.post("api/rooms", json={"items": items})).raise_for_status().json()
        return self.room["code"]

    async def step(self, action: str, **data: Any) -> float:
        """When it was done."""
        asked = {"code": self.room["code"], "action": action, **data}
        (await self.client.post("api/host/step", json=asked, headers=self.headers)).raise_for_status()
        return time.monotonic()

    async def reveal(self) -> dict[str, Any]:
        view = await self.client.get("api/host", params={"code": self.room["code"]}, headers=self.headers)
        return view.json()["reveal"]


async def lesson(address: str, count: int) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        teacher = Teacher(client)
        code = await teacher.open_room()
        clients = [httpx.AsyncClient(base_url=address, timeout=60, limits=limits) for _ in range(count)]
        students = [Student(each, code) for each in clients]
        start = time.monotonic()
        await asyncio.gather(*(student.join() for student in students))
        found: dict[str, Any] = {"students": count, "joined_seconds": round(time.monotonic() - start, 2)}
        looking = [asyncio.create_task(student.look()) for student in students]
        await asyncio.sleep(3)
        for number, kind in enumerate(KINDS):
            found[kind] = await one_item(teacher, students, number)
        await teacher.step("end")
        await asyncio.gather(*looking)
        for each in clients:
            await each.aclose()
    return found


async def one_item(teacher: Teacher, students: list[Student], number: int) -> dict[str, Any]:
    """Opened, answered by all, revealed and seen by all."""
    await teacher.step("goto", number=number)
    await asyncio.sleep(2)
    opened = await teacher.step("open")
    waits = sorted(await asyncio.gather(*(student.answer(number) for student in students)))
    revealed = await teacher.step("reveal")
    await asyncio.gather(*(student.reached[number, "revealed"].wait() for student in students))

    def seen(phase: str, since: float) -> float:
        return round(max(student.when[number, phase] for student in students) - since, 2)

    return {
        "answers": counted(await teacher.reveal()),
        "wait_seconds": {"median": round(waits[len(waits) // 2], 3), "longest": round(waits[-1], 3)},
        "step_seen_seconds": {"open": seen("open", opened), "revealed": seen("revealed", revealed)},
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
