"""A file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from urial.files import whole_file, write_whole


def test_a_file_that_could_not_be_finished_leaves_the_old_one_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_whole(path, "old")

    def cut_short() -> None:
        with whole_file(path) as part:
            part.write_text("ne")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        cut_short()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_text_is_written_as_it_is_and_in_place_of_what_was_there(tmp_path: Path) -> None:
    for content in ("a\r\nb\n", "ü ☕", b"\x00\xff"):
        write_whole(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == (content if isinstance(content, bytes) else content.encode())


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"


def test_a_device_takes_what_is_written(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    write_whole(Path(f"/dev/fd/{writing}"), "through a pipe")
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read() == "through a pipe"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "text")
