"""docs/recipes.md works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from code_blocks import ROOT, code_blocks, run_python
from netsmith.cli import app
from netsmith.recipes.reading import read_text
from netsmith.recipes.schema import STEPS
from netsmith.zoo import digits_resnet

FILE = "docs/recipes.md"


def test_the_python_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(FILE)


def test_the_commands_up_to_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.chdir(tmp_path)
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(digits_resnet().state_dict(), "digits.safetensors")
    commands = code_blocks(FILE, "bash")[0].splitlines()
    assert [line.split()[1] for line in commands] == ["init", "plan", "run", "run"]
    for command in commands[:2]:
        done = CliRunner().invoke(app, command.split()[1:])
        assert done.exit_code == 0, done.output


def test_the_files_are_recipes() -> None:
    for block in code_blocks(FILE, "yaml"):
        assert read_text(block, FILE).steps


def test_every_step_and_option_is_named() -> None:
    text = (ROOT / FILE).read_text(encoding="utf-8")
    for kind, model in STEPS.items():
        row = next((line for line in text.splitlines() if re.match(rf"\| .*`{kind}`", line)), "")
        assert row, f"{kind} is not in {FILE}"
        inherited = {"name", "from_", "data"} | (
            set(STEPS["finetune"].model_fields) if kind in ("distil", "regularize") else set()
        )
        for option in set(model.model_fields) - inherited:
            assert f"`{option}`" in row, f"{kind} {option} is not in {FILE}"
