"""`gguf: FILE` in models.yaml: the same model as the package's, converted once; files that are none get a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter

from tests.support import tiny
from tests.support.tiny_gguf import import_from, make_package, write_gguf
from urial.errors import WeightsError, WeightsMissing
from urial.pairs import ModelSpec, TokenizerSpec
from urial.progress import silent
from urial.weights import load_model, load_pair_models, packages
from urial.weights.sources import locate_model, missing_reason

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("URIAL_CACHE", str(tmp_path / "cache"))


def spec(path: Path, tokenizer: Path | None = None) -> ModelSpec:
    beside = TokenizerSpec(folder=str(tokenizer)) if tokenizer else None
    return ModelSpec(gguf=str(path), tokenizer=beside)


def test_a_file_is_the_model_of_the_same_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    import_from(tmp_path)
    monkeypatch.setitem(packages.PACKAGES, "tiny", make_package(tmp_path, path, "tiny_of_the_same"))
    found = load_model(spec(path), dtype="float32")
    package = load_model(ModelSpec.model_construct(package="tiny"), dtype="float32")
    for one, other in zip(found.model.parameters(), package.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert found.tokenizer("the and").input_ids == package.tokenizer("the and").input_ids
    assert found.description == f"{tmp_path.name}/tiny.gguf" and found.revision == package.revision


def test_it_is_converted_once_and_anew_where_the_file_has_changed(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    first = locate_model(spec(path), "float32", silent)
    written = (first.folder / "model.safetensors").stat().st_mtime_ns
    path.rename(tmp_path / "moved.gguf")
    again = locate_model(spec(tmp_path / "moved.gguf"), "float32", silent)
    assert again.folder == first.folder and (again.folder / "model.safetensors").stat().st_mtime_ns == written
    write_gguf(path, seed=1)
    other = locate_model(spec(path), "float32", silent)
    assert other.folder != first.folder and other.revision != first.revision
    assert locate_model(spec(path), "bfloat16", silent).folder != other.folder


def test_two_files_make_a_pair(tmp_path: Path) -> None:
    paths = [write_gguf(tmp_path / f"{seed}.gguf", seed=seed) for seed in (0, 1)]
    template = tmp_path / "chat.jinja"
    template.write_text(tiny.CHAT_TEMPLATE)
    base, aligned = spec(paths[0]), spec(paths[1]).model_copy(update={"chat_template": str(template)})
    loaded = load_pair_models(base, aligned, dtype="float32")
    assert loaded.base.revision != loaded.aligned.revision and loaded.base.model is not loaded.aligned.model


def test_a_tokenizer_beside_the_file_takes_the_place_of_its_own(tmp_path: Path) -> None:
    tiny.tokenizer().save_pretrained(tmp_path / "words")
    path = write_gguf(tmp_path / "tiny.gguf")
    found = load_model(spec(path, tmp_path / "words"), dtype="float32")
    assert found.tokenizer("the answer").input_ids == tiny.tokenizer()("the answer").input_ids
    assert missing_reason(spec(path, tmp_path / "words")) is None
    assert "tokenizer_config.json" in (missing_reason(spec(path, tmp_path / "cache")) or "")


# What is no such file


def text(path: Path) -> None:
    path.write_text("no weights at all")


def empty(path: Path) -> None:
    path.touch()


def cut_off(path: Path) -> None:
    write_gguf(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_part_of_many(path: Path) -> None:
    written(path, lambda writer: writer.add_uint16("split.count", 3))


def an_adapter(path: Path) -> None:
    written(path, lambda writer: writer.add_type("adapter"))


def only_words(path: Path) -> None:
    written(path, lambda writer: None)


def of_an_unknown_kind(path: Path) -> None:
    write_gguf(path, architecture="no-such-kind")


def written(path: Path, settings: Callable[[GGUFWriter], None]) -> None:
    """A sound file without a tensor."""
    writer = GGUFWriter(path, "llama")
    settings(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text, "damaged or of an unknown version"),
        (empty, "cannot be read"),
        (cut_off, "runs past the end"),
        (one_part_of_many, "one of several parts; merge them first"),
        (an_adapter, "holds no model"),
        (only_words, "holds no model"),
        (of_an_unknown_kind, "a model of the kind no-such-kind"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(make: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    make(tmp_path / "odd.gguf")
    with pytest.raises(WeightsError, match=said) as caught:
        locate_model(spec(tmp_path / "odd.gguf"), "float32", silent)
    assert "odd.gguf" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not [folder for folder in (tmp_path / "cache").glob("gguf-*") if folder.is_dir()]


def test_a_file_that_is_not_there_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    gone = spec(tmp_path / "gone.gguf")
    assert "There is no GGUF file" in (missing_reason(gone) or "")
    with pytest.raises(WeightsMissing, match="correct the path"):
        locate_model(gone, "float32", silent)
