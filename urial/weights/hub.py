"""Fetching a model or an adapter from the hub into huggingface_hub's own cache."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is of whichever HTTP client it has
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from urial.errors import WeightsMissing
from urial.progress import Progress

WANTED = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
OTHER_FORMATS = ["original/*", "consolidated*", "onnx/*", "metal/*"]  # the same weights again


def fetch(repository: str, revision: str | None, progress: Progress) -> Path:
    """The snapshot's folder; its name is the commit. What is already on this machine is not fetched again.

    Raises WeightsMissing, which says whether the id, the revision, the licence or the network is in the way.
    """
    stage = f"Fetching {repository}"
    progress(stage, None)
    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=WANTED,
            ignore_patterns=OTHER_FORMATS,
            tqdm_class=_reporting_to(progress, stage),
        )
    except (HTTPError, HFValidationError, OSError, RuntimeError) as error:
        raise WeightsMissing(_explain(error, repository, revision)) from error
    return Path(folder)


def _reporting_to(progress: Progress, stage: str) -> type[tqdm]:
    """A bar for huggingface_hub that prints nothing and passes the share of bytes on."""

    class Reporting(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO(), "disable": False})

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if self.unit == "B" and self.total:
                progress(stage, min(1.0, self.n / self.total))

    return Reporting


def _explain(error: Exception, repository: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated: accept its licence on its hub page, then set HF_TOKEN or run: hf auth login"
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no revision {revision!r}; correct it in models.yaml."
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return f"The hub shows no model {repository!r}; correct the id, or set HF_TOKEN if it is private."
    if isinstance(error, LocalEntryNotFoundError):
        return f"{repository} is not on this machine and the hub cannot be reached; connect, or choose a local pair."
    return f"{repository} could not be fetched from the hub ({type(error).__name__}); try again, or use a folder."
