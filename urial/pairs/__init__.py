"""`models.yaml`: which models make a pair, and whether this machine can run them.

`schema.py` says what the file may hold, `reading.py` reads it, `messages.py` words what is wrong with it, `machine.py`
looks at the machine, `availability.py` compares a pair with it.
"""

from urial.pairs.availability import Availability, Precision, availability, choose_precision
from urial.pairs.machine import Machine
from urial.pairs.reading import PairsFile, default_file, load_pairs
from urial.pairs.schema import (
    PRECISIONS,
    AdapterSpec,
    Dtype,
    GuardSpec,
    ModelSpec,
    PackageName,
    Pair,
    PaperNumbers,
    Quantization,
    ServerSpec,
    TokenizerSpec,
)

__all__ = [
    "PRECISIONS",
    "AdapterSpec",
    "Availability",
    "Dtype",
    "GuardSpec",
    "Machine",
    "ModelSpec",
    "PackageName",
    "Pair",
    "PairsFile",
    "PaperNumbers",
    "Precision",
    "Quantization",
    "ServerSpec",
    "TokenizerSpec",
    "availability",
    "choose_precision",
    "default_file",
    "load_pairs",
]
