"""docs/scores.md runs, and names every score."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from code_blocks import ROOT, code_blocks, run_python
from netsmith.cli import app
from netsmith.scores.named import OURS


def test_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python("docs/scores.md")


def test_the_command_names_options_that_are_there() -> None:
    (command,) = code_blocks("docs/scores.md", "bash")
    program, name, *args = shlex.split(command)
    known = {option for parameter in typer.main.get_command(app).commands[name].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert program == "netsmith" and {arg for arg in args if arg.startswith("--")} <= known
    assert args[args.index("--score") + 1] in OURS


@pytest.mark.parametrize("name", OURS)
def test_every_score_stands_in_the_docs(name: str) -> None:
    text = (ROOT / "docs/scores.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in text
