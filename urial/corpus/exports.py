"""What else a corpus is written as, by name, beside its own files. Each export is a function of the folder alone.

Each is in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from urial.corpus import hub_tables, inspect_log, just_eval_files, llm_comparator
from urial.errors import SettingsError

Export = Callable[[Path, dict[str, Any]], None]

EXPORTS: dict[str, Export] = {
    "llm_comparator": llm_comparator.write,
    "just_eval": just_eval_files.write,
    "inspect": inspect_log.write,
    "tables": hub_tables.write,
}


def chosen(names: str) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return list(EXPORTS) if "all" in wanted else wanted


def check_exports(names: str) -> None:
    """Raises SettingsError for a name that is none, before anything is run."""
    for name in chosen(names):
        if name not in EXPORTS:
            raise SettingsError(f"--export {name!r}: there is no such export; choose of {', '.join(EXPORTS)} or all.")


def write_exports(folder: Path, names: str, summary: dict[str, Any]) -> None:
    for name in chosen(names):
        EXPORTS[name](folder, summary)
