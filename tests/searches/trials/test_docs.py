"""docs/workers.md runs as shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from code_blocks import run_python

pytest.importorskip("optuna")


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/workers.md")
    assert (tmp_path / "study.db").is_file()
