"""Addresses of functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsmith.errors import InputError, UnknownNameError
from netsmith.sources.functions import call_user, find_function


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("VALUE = 41\n")
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from beside import VALUE\n"
        "@dataclass\nclass Point:\n    x: int = 1\n"
        "def answer():\n    return VALUE + Point().x\n"
        "def broken():\n    raise KeyError('lost')\n"
    )
    return path


def test_a_file_can_import_its_neighbours(file: Path) -> None:
    assert find_function(f"{file}:answer")() == 42


def test_a_module_in_the_current_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    (file.parent / "neighbourhood.py").write_text("def here():\n    return 'here'\n")
    assert find_function("neighbourhood:here")() == "here"


def test_an_installed_module() -> None:
    assert find_function("json:dumps")([1]) == "[1]"
    assert find_function("json:JSONEncoder.encode").__name__ == "encode"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nothing", "write package.module:function or path/file.py:function"),
        ("mine.py:", "write package.module:function"),
        ("no/such.py:f", r"there is no file 'no/such.py' \(looked in "),
        ("no_such_package.models:f", "there is no module 'no_such_package.models'"),
        ("json:dunps", r"json has no function 'dunps'; it has dumps"),
    ],
)
def test_addresses_that_lead_nowhere(address: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        find_function(address)


def test_a_file_that_raises(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(InputError, match=r"bad.py raised ZeroDivisionError: division by zero \(bad.py, line 2\)"):
        find_function(f"{path}:f")


def test_a_function_that_raises(file: Path) -> None:
    with pytest.raises(InputError, match=r"mine:broken raised KeyError: 'lost' \(mine.py, line 10\)"):
        call_user("mine:broken", find_function(f"{file}:broken"))
