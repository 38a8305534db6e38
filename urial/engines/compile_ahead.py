"""Whether a pair's models will run in compiled loops, told before transformers is imported, so that compiling begins.

That import takes as long as a third of compiling.
"""

from __future__ import annotations

from pathlib import Path

from urial.pairs import Machine, ModelSpec, Pair, Precision, choose_precision

WORTH_COMPILING = 2**24  # weights; for fewer, a compiler's seconds are not won back


def start_compiling(pair: Pair, machine: Machine, device: str | None = None, dtype: str | None = None) -> bool:
    """Begin in a second process where a machine is new, and say whether; the last two are as in `open_pair`.

    Raises SettingsError and PairsError.
    """
    precision = choose_precision(pair, machine, dtype, device)
    if not will_compile(pair, precision, device or machine.default_device):
        return False
    try:
        from urial.kernels import second_process  # a compiler is imported only where it is of use
    except ImportError:  # torch serves where there is none; who chooses a runner says so
        return False
    return second_process.start(precision.dtype)


def will_compile(pair: Pair, precision: Precision, device: str) -> bool:
    """Whether a processor runs the weights as they are, and one of both models has many."""
    on_processor = device == "cpu" and precision.quantization is None
    return on_processor and any(is_worth_compiling(model) for model in pair.local_models)


def is_worth_compiling(spec: ModelSpec) -> bool:
    """Whether its weights are many, as far as can be told before they are read; what comes from the hub usually is."""
    if spec.folder is None:
        return True
    files = (path for path in Path(spec.folder).expanduser().glob("*.safetensors") if path.is_file())  # no dead links
    size = sum(path.stat().st_size for path in files)
    return size >= 2 * WORTH_COMPILING  # two bytes a weight, or more
