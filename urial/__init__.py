"""URIAL side by side: a base model with a prompt, its chat-tuned sibling, and every token's shift between them.

`urial.load()` gives a pair to write Python with (`notebook/`); importing this package loads nothing heavy.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urial.notebook import load as load

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """`load`, looked up when it is first asked for: `import urial` takes no time."""
    if name == "load":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # of bars that libraries would draw
            from urial.notebook import load

        return load
    raise AttributeError(f"module 'urial' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
