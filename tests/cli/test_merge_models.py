"""``netsmith merge-models`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from checkpoint_folders import read, tensors, write
from netsmith.cli import app
from netsmith.cli.merge_models import parse_size
from netsmith.combining import average
from netsmith.errors import InputError

pytest.importorskip("yaml")


def recipe(folder: Path) -> str:
    models = [write(folder / name, tensors(seed)) for name, seed in (("a", 1), ("b", 2))]
    lines = [f"  - model: {m}\n    parameters: {{weight: 0.5}}" for m in models]
    (folder / "recipe.yaml").write_text("merge_method: linear\nmodels:\n" + "\n".join(lines) + "\ndtype: bfloat16\n")
    return str(folder / "recipe.yaml")


def test_merges_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["merge-models", recipe(tmp_path), "--out", str(out), "--shard-size", "1KB"])
    assert result.exit_code == 0, result.output
    assert "Merged into" in result.stdout
    name = "model.norm.weight"
    assert torch.equal(read(out)[name], average([tensors(1)[name], tensors(2)[name]]))


def test_json(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["merge-models", recipe(tmp_path), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["shards"] == ["model.safetensors"]
    assert found["tensors"] == len(tensors(1))


def test_a_wrong_recipe_is_one_message_and_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("merge_method: mean\nmodels: [{model: a}]\n")
    result = CliRunner().invoke(app, ["merge-models", str(file), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "merge_method 'mean' is unknown" in result.stderr
    assert not (tmp_path / "out").exists()


def test_sizes() -> None:
    assert parse_size("500MB") == 500_000_000
    assert parse_size("1.5 gb") == 1_500_000_000
    for wrong in ("5", "0MB", "many"):
        with pytest.raises(InputError, match="--shard-size"):
            parse_size(wrong)
