"""What a storage may be, and how what is none is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netsmith.errors import FileError, InputError
from netsmith.searches.trials.storages import open_storage, without_password

optuna = pytest.importorskip("optuna")


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study.txt' is of no known kind; give a file that ends in .db or .*"):
        open_storage(tmp_path / "study.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["study.db", "study.journal"])
def test_a_missing_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="the folder .*missing does not exist; create it"):
        open_storage(tmp_path / "missing" / name)


@pytest.mark.parametrize("name", ["study.db", "study.journal"])
def test_a_folder_in_its_place(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FileError, match="cannot be used"):
        open_storage(tmp_path / name)


def test_a_database_without_a_driver_shows_no_password() -> None:
    with pytest.raises(FileError, match=r"storage nosql://me@host/trials cannot be used") as caught:
        open_storage("nosql://me:secret@host/trials")
    assert "secret" not in str(caught.value)


def test_urls_and_paths_are_shown_as_they_are() -> None:
    assert without_password("postgresql://host/trials") == "postgresql://host/trials"
    assert without_password("out/study@home.db") == "out/study@home.db"
    assert without_password("mysql://me:se@cret@host/trials") == "mysql://me@host/trials"


def test_a_url_of_sqlite(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/other.name")
    assert (tmp_path / "other.name").is_file()


def test_a_relative_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    storage = open_storage("sub/study.journal")
    monkeypatch.chdir("/")
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "a")
    assert [file.name for file in (tmp_path / "sub").iterdir()] == ["study.journal"]


@pytest.mark.parametrize("name", ["study.db", "study.journal"])
def test_many_open_what_none_has_made_yet(tmp_path: Path, name: str) -> None:
    for attempt in range(5):
        (tmp_path / str(attempt)).mkdir()
        at_once = threading.Barrier(4)

        def opened(where: Path, at_once: threading.Barrier = at_once) -> int:
            at_once.wait()
            return len(open_storage(where).get_all_studies())

        with ThreadPoolExecutor(4) as four:
            assert list(four.map(opened, [tmp_path / str(attempt) / name] * 4)) == [0] * 4
