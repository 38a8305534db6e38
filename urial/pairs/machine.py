"""What this machine can hold: memory, GPUs, quantization, the way to the hub.

Only asks the operating system, torch and huggingface_hub; never the network.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
LEAST_CAPABILITY = {"int8": (7, 5), "nf4": (6, 0)}  # CUDA compute capability that bitsandbytes asks for


@dataclass(frozen=True, slots=True)
class Machine:
    """Memory in GB (10^9 bytes); None where the system does not tell."""

    memory_gb: float | None
    gpu_memory_gb: tuple[float, ...] = ()  # one entry for each GPU
    quantizations: frozenset[str] = frozenset()  # of int8, nf4: those that run here
    is_offline: bool = False  # HF_HUB_OFFLINE is set
    has_hub_token: bool = False
    hub_cache: Path | None = None  # None: the hub's own default

    @classmethod
    def probe(cls) -> Machine:
        """This machine, now. Imports torch."""
        import torch
        from huggingface_hub import constants, get_token

        gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return cls(
            memory_gb=memory_gb(),
            gpu_memory_gb=tuple(gpu.total_memory / 1e9 for gpu in gpus),
            quantizations=supported_quantizations([(gpu.major, gpu.minor) for gpu in gpus]),
            is_offline=constants.HF_HUB_OFFLINE,
            has_hub_token=get_token() is not None,
        )

    @property
    def default_device(self) -> str:
        return "cuda" if self.gpu_memory_gb else "cpu"

    def memory_for(self, device: str) -> float | None:
        """What models on `device` may fill: all GPUs together, or the machine's memory."""
        return sum(self.gpu_memory_gb) if device.startswith("cuda") else self.memory_gb


def memory_gb(limit_files: Sequence[Path] = CGROUP_LIMITS) -> float | None:
    """The machine's memory, or the container's limit where that is less."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None
    return min([found, *cgroup_limits(limit_files)]) / 1e9


def cgroup_limits(limit_files: Sequence[Path]) -> list[int]:
    limits = []
    for path in limit_files:
        try:
            text = path.read_text().strip()
        except OSError:  # no such kind of container
            continue
        if text.isdigit():  # "max" is no limit
            limits.append(int(text))
    return limits


def supported_quantizations(capabilities: list[tuple[int, int]]) -> frozenset[str]:
    """Those that bitsandbytes runs on every GPU here; on a processor it runs both."""
    if find_spec("bitsandbytes") is None:
        return frozenset()
    return frozenset(
        name for name, least in LEAST_CAPABILITY.items() if all(capability >= least for capability in capabilities)
    )
