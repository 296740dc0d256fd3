"""Every command and option has help, an example, and a place in docs/cli.md."""

from __future__ import annotations

import re

import pytest
import typer
from typer.testing import CliRunner

from code_blocks import ROOT
from netsmith.cli import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
DOCS = (ROOT / "docs/cli.md").read_text(encoding="utf-8")


def test_exactly_these_commands() -> None:
    assert sorted(COMMANDS) == [
        "cut",
        "demo",
        "distil",
        "ensemble",
        "export",
        "finetune",
        "grow",
        "init",
        "inspect",
        "join",
        "measure",
        "merge",
        "merge-models",
        "plan",
        "quantize",
        "regularize",
        "report",
        "run",
        "search",
        "shrink",
        "sparsify",
        "verify",
    ]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_says_what_it_does_with_an_example(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.epilog.startswith(f"Example:  netsmith {name}")
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert "--json" in result.stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_docs_name_every_option(name: str) -> None:
    assert f"\n## netsmith {name}" in DOCS
    for parameter in COMMANDS[name].params:
        for option in [o for o in parameter.opts if o.startswith("--")]:
            assert option in DOCS, f"{name} {option} is not in docs/cli.md"


def test_docs_name_no_option_that_is_not_there() -> None:
    there = {o for c in COMMANDS.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    named = set(re.findall(r"--[a-z][a-z-]+", DOCS))
    assert named - there <= {"--help", "--version"}
