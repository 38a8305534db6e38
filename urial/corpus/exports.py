"""Which exports there are, by name, and that each is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from urial.errors import SettingsError

Export = Callable[[Path, dict[str, Any]], None]


def exports() -> Mapping[str, Export]:
    return {}


NAMES: tuple[str, ...] = ("llm_comparator", "just_eval", "inspect", "tables")


def chosen(names: str) -> list[str]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return list(NAMES) if "all" in wanted else wanted


def check_exports(names: str) -> None:
    """Raises SettingsError for a name that is none, before anything is run."""
    for name in chosen(names):
        if name not in NAMES:
            raise SettingsError(f"--export {name!r}: there is no such export; choose of {', '.join(NAMES)} or all.")


def write_exports(folder: Path, names: str, summary: dict[str, Any]) -> None:
    table = exports()
    for name in chosen(names):
        table[name](folder, summary)
