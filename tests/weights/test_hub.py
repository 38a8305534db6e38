"""Hub ids, fetched over HTTP from a hub on this machine: revisions, offline use, and each way it can fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from tests.support import tiny
from tests.support.weights_folders import logits, save_adapter, save_model, sentence
from tests.support.weights_hub import COMMIT, serving
from urial.errors import WeightsMissing
from urial.pairs import AdapterSpec, ModelSpec
from urial.progress import silent
from urial.weights import load_model
from urial.weights.hub import fetch

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"


def point_at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What HF_ENDPOINT would do before the first import."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[str]]]:
    """(the folder behind someone/model, the paths asked for)."""
    folder = save_model(tmp_path / "served")
    (folder / "consolidated.safetensors").write_bytes(b"the same again")
    (folder / "notes.md").write_text("not needed")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving(folder) as (address, asked):
        point_at(monkeypatch, address)
        yield folder, asked


def test_a_hub_id_is_fetched_and_its_commit_told(served: tuple[Path, list[str]]) -> None:
    stages: list[tuple[str, float | None]] = []
    spec = ModelSpec(hub="someone/model")
    loaded = load_model(spec, dtype="float32", progress=lambda *stage: stages.append(stage))
    assert loaded.revision == COMMIT and loaded.description == "someone/model"
    assert torch.equal(logits(loaded.model), logits(tiny.model("llama")))
    assert stages[0] == ("Fetching someone/model", None)
    shares = [share for stage, share in stages if stage == "Fetching someone/model" and share is not None]
    assert shares and max(shares) == 1.0


def test_only_what_is_needed_is_fetched(served: tuple[Path, list[str]]) -> None:
    names = {path.name for path in fetch("someone/model", None, silent).iterdir()}
    assert "model.safetensors" in names and "config.json" in names
    assert not names & {"consolidated.safetensors", "notes.md"}


def test_the_second_time_no_file_is_fetched(served: tuple[Path, list[str]]) -> None:
    first = fetch("someone/model", None, silent)
    served[1].clear()
    assert fetch("someone/model", None, silent) == first
    assert not [path for path in served[1] if "/resolve/" in path]


def test_a_revision_is_asked_for_by_name(served: tuple[Path, list[str]]) -> None:
    fetch("someone/model", "v1", silent)
    assert any(path.endswith("/revision/v1") for path in served[1])


def test_nothing_is_printed(served: tuple[Path, list[str]], capfd: pytest.CaptureFixture[str]) -> None:
    fetch("someone/model", None, silent)
    assert capfd.readouterr() == ("", "")


def test_what_was_fetched_serves_without_the_hub(
    served: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch("someone/model", None, silent)
    point_at(monkeypatch, NOWHERE)
    assert fetch("someone/model", None, silent) == first


def test_an_adapter_from_the_hub_lies_on_a_folder(served: tuple[Path, list[str]], tmp_path: Path) -> None:
    base = save_model(tmp_path / "base")
    reference = save_adapter(served[0], base)
    spec = ModelSpec(folder=str(base), adapter=AdapterSpec(hub="someone/model"))
    loaded = load_model(spec, dtype="float32")
    assert loaded.adapter_name == "someone/model" and loaded.revision.endswith(f"+{COMMIT}")
    assert torch.allclose(logits(loaded.model), logits(reference), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("hub", "revision", "words"),
    [
        ("someone/gated", None, "is gated: accept its licence"),
        ("someone/nothing", None, "shows no model 'someone/nothing'"),
        ("someone/model", "v9", "has no revision 'v9'"),
        ("a" * 120, None, "shows no model"),
    ],
)
def test_what_the_hub_refuses_is_told(
    served: tuple[Path, list[str]], hub: str, revision: str | None, words: str
) -> None:
    assert words in sentence(WeightsMissing, lambda: fetch(hub, revision, silent))


def test_a_hub_that_cannot_be_reached_is_told(served: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(monkeypatch, NOWHERE)
    message = sentence(WeightsMissing, lambda: fetch("someone/model", None, silent))
    assert "is not on this machine and the hub cannot be reached" in message


def test_an_id_that_holds_no_model_is_told(served: tuple[Path, list[str]]) -> None:
    (served[0] / "config.json").unlink()
    spec = ModelSpec(hub="someone/model")
    message = sentence(WeightsMissing, lambda: load_model(spec, dtype="float32"))
    assert "someone/model on the hub holds no config.json" in message
