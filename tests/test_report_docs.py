"""What docs/report.md shows works as shown."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from code_blocks import code_blocks, run_python
from html_pages import Page
from netsmith.cli import app


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    (block,) = code_blocks("docs/report.md", "bash")
    for command in block.splitlines():
        name, *arguments = shlex.split(command)
        assert name == "netsmith"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{command}\n{done.output}"
    assert (tmp_path / "out/half/report.html").is_file()
    assert (tmp_path / "out/comparison.html").is_file()
    assert list((tmp_path / "out/board").iterdir())


def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/report.md")
    page = Page((tmp_path / "out/report/report.html").read_text(encoding="utf-8"))
    assert {"A smaller network", "Class by class", "Accuracy against MACs"} <= set(page.headings)
    assert [row[0] for row in page.rows if row[0].startswith("uniform")] == ["uniform-0", "uniform-1"]
