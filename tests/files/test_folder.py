"""Folders that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsmith.errors import FileError
from netsmith.files.folder import new_folder


def test_the_folder_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"

    with new_folder(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()

    assert (target / "x").read_text() == "1"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", target, target / "x"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    with new_folder(tmp_path / "out") as folder:
        (folder / "x").write_text("1")

    assert (tmp_path / "out" / "x").exists()


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="midway"), new_folder(tmp_path / "a" / "b" / "c") as folder:
        (folder / "x").write_text("1")
        raise RuntimeError("midway")

    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_folders_that_were_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "b"):
        raise KeyboardInterrupt

    assert list(tmp_path.rglob("*")) == [tmp_path / "a"]


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    message = r"out: cannot be written \(No space left.*nothing was left behind"
    with pytest.raises(FileError, match=message), new_folder(tmp_path / "out"):
        raise OSError(28, "No space left on device")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    (tmp_path / "z").mkdir()

    message = r"thesis\.tex and 1 more is in the way\. Give a path that does not exist yet"
    with pytest.raises(FileError, match=message), new_folder(tmp_path):
        pytest.fail("entered")
    assert (tmp_path / "thesis.tex").read_text() == "years"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("kept")

    with pytest.raises(FileError, match=r"out is in the way"), new_folder(tmp_path / "out"):
        pytest.fail("entered")
    assert (tmp_path / "out").read_text() == "kept"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")

    with pytest.raises(FileError, match=r"cannot be written \(.*Give"), new_folder(tmp_path / "file" / "a" / "b"):
        pytest.fail("entered")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
