"""What ``storage=`` names: a folder for everything, or a file or database for trials alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsmith.errors import InputError
from netsmith.recipes.search import _kept


@pytest.mark.parametrize("name", ["a.db", "a.SQLITE", "a.journal", "a.jsonl", "a.log", "postgresql://host/study"])
def test_a_file_or_a_database_keeps_trials(name: str, tmp_path: Path) -> None:
    where = name if "://" in name else tmp_path / name
    assert _kept(where) == (where, None) and not (tmp_path / name).exists()


def test_a_folder_keeps_healed_models_too(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    assert _kept(folder) == (folder / "trials.db", folder / "models") and folder.is_dir()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder that can be made"):
        _kept(tmp_path / "file" / "study")
