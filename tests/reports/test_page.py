"""Where pages are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsmith.errors import FileError
from netsmith.reports import write_html


def test_write_html_makes_the_folder(tmp_path: Path) -> None:
    write_html(tmp_path / "a" / "b.html", "<p>é</p>")

    assert (tmp_path / "a" / "b.html").read_text(encoding="utf-8") == "<p>é</p>"


def test_write_html_to_an_impossible_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FileError, match=r"cannot be written \(.*file\)\. Give a path"):
        write_html(tmp_path / "file" / "b.html", "")
