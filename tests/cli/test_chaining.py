"""What one command saved is the next one's model: plans are chained, and ``verify`` holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app

FILE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 3)), (2, 4)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(x, x[:, :3].argmax(1)) for x in torch.randn(64, 4, generator=g).split(16)]
"""
ORIGINAL = ["--model", "mlp.py:model"]
DATA = ["--data", "mlp.py:batches"]


def run(*args: str, code: int = 0):
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, done.output
    return done


def test_shrink_sparsify_distil_quantize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchao")
    monkeypatch.chdir(tmp_path)
    Path("mlp.py").write_text(FILE)
    run("shrink", "mlp.py:model", "--budget", "macs=50%", "--out", "small")
    assert "If you trust it" in run("sparsify", "small", "--share", "0.5", "--out", "x", code=2).output
    run("sparsify", "small", *ORIGINAL, *DATA, "--share", "0.5", "--out", "sparse")
    run("distil", "sparse", *ORIGINAL, *DATA, "--steps", "3", "--out", "healed")
    told = json.loads(run("quantize", "healed", *ORIGINAL, *DATA, "--scheme", "int8", "--out", "int8", "--json").stdout)
    assert told["model"] == "healed" and told["verdict"]["ok"]
    for folder in ("sparse", "healed", "int8"):
        run("verify", folder, *ORIGINAL)
    plan = json.loads(Path("int8/plan.json").read_text())
    assert len(plan["before"]) >= 2 and plan["edits"]
    for command in (["quantize", "--scheme", "int8"], ["sparsify", "--share", "0.5"]):
        done = run(command[0], "int8", *ORIGINAL, *command[1:], "--out", "x", code=2)
        assert "stores weights as integers, whose structure is not read again" in done.output
    assert not Path("x").exists()
