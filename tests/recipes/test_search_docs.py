"""docs/search.md runs, and names every strategy and every option of the space."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from code_blocks import ROOT, code_blocks, run_python
from netsmith.cli import app
from netsmith.searches import Space
from netsmith.searches.strategies import STRATEGIES

TEXT = (ROOT / "docs/search.md").read_text(encoding="utf-8")


def test_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/search.md")
    assert (tmp_path / "out/study/run.json").is_file()


def test_the_command_names_options_that_are_there() -> None:
    (command,) = code_blocks("docs/search.md", "bash")
    program, name, *args = shlex.split(command)
    known = {option for parameter in typer.main.get_command(app).commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert program == "netsmith" and {arg for arg in args if arg.startswith("--")} <= known


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_stands_in_the_docs(name: str) -> None:
    assert f"| `{name}` |" in TEXT


@pytest.mark.parametrize("name", [field.name for field in fields(Space)])
def test_every_option_of_the_space_stands_in_the_docs(name: str) -> None:
    assert f"{name}=" in TEXT
