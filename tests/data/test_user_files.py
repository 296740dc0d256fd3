"""A user's file is run once, again when it has changed, and in other processes under the same name."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from netsmith.data.user_files import files_that_ran, run_again, run_file
from netsmith.errors import InputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("class Thing:\n    size = 3\n")
    return path


def test_once_unless_it_changes(file: Path) -> None:
    first = run_file(file, "_test_mine")
    assert run_file(file, "_test_mine") is first and files_that_ran()["_test_mine"] == str(file.resolve())
    file.write_text("class Thing:\n    size = 4\n")
    second = run_file(file, "_test_mine")
    assert second is not first and second.Thing.size == 4


def test_what_was_pickled_is_read_where_the_file_did_not_run(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(run_file(file, "_test_mine").Thing)
    told = {name: path for name, path in files_that_ran().items() if name == "_test_mine"}
    monkeypatch.delitem(sys.modules, "_test_mine")  # as in another process
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(pickled)
    assert "_test_mine" not in files_that_ran()
    run_again(told)
    assert pickle.loads(pickled).size == 3


def test_a_file_that_raises_leaves_no_module(file: Path) -> None:
    file.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        run_file(file, "_test_broken")
    assert "_test_broken" not in sys.modules and "_test_broken" not in files_that_ran()
    with pytest.raises(InputError, match="cannot be run as a Python file"):
        run_file(file.with_suffix(".txt"), "_test_text")
