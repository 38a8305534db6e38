"""Starts, kills and restarts a real vLLM server on the processor, with the embedded base and the sibling's adapter.

Its environment is `.vllm` in the project's folder, made as requirements-vllm.txt says; URIAL_VLLM_PYTHON names the
interpreter of another one. Or URIAL_VLLM_URL names a server that runs already, started as docs/serving.md says, with
VLLM_TEST_KEY as its key (`--api-key`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx

from tests.support.paths import ROOT
from urial.engines.open import open_pair
from urial.engines.pair import PairEngines
from urial.pairs import ModelSpec, Pair, load_pairs
from urial.progress import silent
from urial.weights.sources import locate_model

INTERPRETER = "URIAL_VLLM_PYTHON"
RUNNING = "URIAL_VLLM_URL"
KEY = "VLLM_TEST_KEY"
OWN = ROOT / ".vllm" / "bin" / "python"
HOW = (
    "to compare with a real vLLM server make the environment .vllm as requirements-vllm.txt says, or set "
    f"{INTERPRETER} to the interpreter of one that is elsewhere"
)
SETTINGS = {  # what the environment does not set otherwise
    "VLLM_CPU_KVCACHE_SPACE": "2",  # GB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # threads bound to cores wait for each other on a machine with other work
    "OMP_WAIT_POLICY": "PASSIVE",  # the same: threads that spin while they wait have cost nine tenths of the speed
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "1800",  # on such a machine one step has taken more than its usual 300 s
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
START_SECONDS = 900  # about a minute on a free machine
PATIENCE = 10  # what is tested is what comes, not when: two cores are slow, and other work may run on them


def interpreter() -> str | None:
    """The interpreter of vLLM's environment, where there is one."""
    named = os.environ.get(INTERPRETER) or str(OWN)
    return named if Path(named).is_file() or os.environ.get(RUNNING) else None


def embedded() -> Pair:
    """The embedded pair as models.yaml has it."""
    return load_pairs(ROOT / "models.yaml").get("gemma3-270m-embedded")


def base_folder(pair: Pair) -> Path:
    """The converted base: the very weights that the local engine loads."""
    return locate_model(pair.base, "float32", silent).folder


class VllmServer:
    """One server process with all its children, on a free port of this machine."""

    def __init__(self, python: str, log: Path) -> None:
        self._python = python
        self._log = log
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.pair = embedded()
        self.url = os.environ.get(RUNNING) or f"http://127.0.0.1:{self._port}/v1"

    def command(self) -> list[str]:
        """As docs/serving.md has it for a processor."""
        serve = [self._python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base_folder(self.pair))]
        return [
            *serve,
            *("--served-model-name", "base"),
            *("--enable-lora", "--max-lora-rank", "32", "--max-loras", "2"),  # see docs/serving.md for the 2
            *("--lora-modules", f"chat={self.pair.aligned.adapter.folder}"),
            *("--dtype", "float32", "--hf-overrides", '{"head_dtype": "float32"}'),
            *("--max-model-len", "4096", "--max-num-batched-tokens", "2048", "--enforce-eager"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
        ]

    def start(self) -> float:
        """Start unless one runs already, wait until it answers, and tell how many seconds that took."""
        if os.environ.get(RUNNING):
            return 0.0
        env = {**SETTINGS, **os.environ, "VLLM_API_KEY": os.environ.get(KEY, "")}
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True
            )
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() - began > START_SECONDS:
                self.kill()
                raise RuntimeError(f"vLLM did not start:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.5)
        return time.monotonic() - began

    def is_up(self) -> bool:
        try:
            return httpx.get(self.url.removesuffix("/v1") + "/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def running(self) -> float:
        """Answers that the server is writing now, by its own count."""
        text = httpx.get(self.url.removesuffix("/v1") + "/metrics", timeout=5).text
        lines = [line for line in text.splitlines() if line.startswith("vllm:num_requests_running")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def kill(self) -> None:
        """As a power cut would: the process and its children, at once."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process = None

    def spec(self, side: str, **more: object) -> ModelSpec:
        """The entry of models.yaml for one side, now behind this server."""
        model = {"base_url": self.url, "model": "base" if side == "base" else "chat", **more}
        return ModelSpec(**{**getattr(self.pair, side).model_dump(exclude_none=True), "server": model})

    def engines(self, **more: object) -> PairEngines:
        """The pair behind this server; `more` goes into both entries' `server`."""
        sides = {side: self.spec(side, **{"patience": PATIENCE, **more}) for side in ("base", "aligned")}
        return open_pair(self.pair.model_copy(update=sides))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def common(mine: list[int], theirs: list[int]) -> int:
    """How many tokens agree from the beginning."""
    return next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
