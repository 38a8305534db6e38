"""Saves a training run so that it survives being killed at any moment, and finds it again.

Each file is written beside its place and then renamed over it.
"""

import json
from pathlib import Path
from typing import Any

import torch

from urial.errors import SettingsError, WeightsError
from urial.files import whole_file, write_whole

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the folder's checkpoint in one rename; WeightsError where the disk refuses."""
    try:
        with whole_file(folder / NAME) as part:
            torch.save(state, part)
    except (OSError, RuntimeError) as error:
        raise WeightsError(f"The checkpoint in {folder} cannot be written: {error}.") from error


def load_checkpoint(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The folder's checkpoint, or None where there is none.

    Raises SettingsError where it belongs to another run, WeightsError where it is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load documents no closed set of errors for a damaged file
        raise WeightsError(f"{path} is damaged ({error}); delete it to start this run again.") from error
    if state.get("fingerprint") != fingerprint:
        raise SettingsError(f"{folder} holds a run with other settings or examples; choose another --out.")
    return state


class RunLog:
    """Lines of JSON in `log.jsonl`, each with the `step` it belongs to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.jsonl"

    def rewind(self, step: int) -> None:
        """Drops what an interrupted run wrote after the checkpoint it continues from."""
        lines = [line for line in self.lines() if line["step"] <= step]
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in lines))

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; a last line that a kill cut short is left out."""
        if not self.path.exists():
            return []
        texts = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(text) for text in texts]

    def add(self, line: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
