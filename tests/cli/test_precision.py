"""``netsmith quantize`` and ``netsmith sparsify`` as a user types them."""

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
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)), (2, 32)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 32, generator=g), torch.randint(0, 8, (16,), generator=g)) for _ in range(3)]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FILE)
    return "net.py"


def test_quantize_and_verify(file: str) -> None:
    pytest.importorskip("torchao")
    args = ["quantize", f"{file}:model", "--scheme", "int4", "--group", "16", "--data", f"{file}:batches"]
    done = CliRunner().invoke(app, [*args, "--eval", f"{file}:batches", "--out", "int4", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["verdict"]["ok"] and told["file_bytes"] == Path("int4/model.safetensors").stat().st_size
    assert [step["name"] for step in told["steps"]] == ["original", "quantize", "round"]
    assert told["file_bytes"] < 0.35 * told["steps"][0]["bytes"]
    done = CliRunner().invoke(app, ["verify", "int4", "--model", f"{file}:model"])
    assert done.exit_code == 0 and "stated error" in done.stdout


def test_quantize_and_heal(file: str) -> None:
    pytest.importorskip("torchao")
    args = ["quantize", f"{file}:model", "--scheme", "int4", "--data", f"{file}:batches", "--heal", "2"]
    done = CliRunner().invoke(app, [*args, "--out", "healed", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["verdict"]["ok"] and [step["name"] for step in told["steps"]][-1] == "heal"
    done = CliRunner().invoke(app, ["verify", "healed", "--model", f"{file}:model"])
    assert done.exit_code == 0, done.output


def test_quantize_under_a_budget(file: str) -> None:
    pytest.importorskip("torchao")
    args = ["quantize", f"{file}:model", "--budget", "bytes=30%", "--data", f"{file}:batches", "--out", "mixed"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "file bytes" in done.stdout and "netsmith verify mixed" in done.stdout


def test_sparsify_and_verify(file: str) -> None:
    done = CliRunner().invoke(app, ["sparsify", f"{file}:model", "--share", "0.97", "--out", "sparse", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["dead_units_removed"] > 0 and told["steps"][-1]["name"] == "remove dead" and told["verdict"]["ok"]
    args = ["sparsify", f"{file}:model", "--pattern", "2:4", "--criterion", "sparsegpt", "--data", f"{file}:batches"]
    done = CliRunner().invoke(app, [*args, "--out", "pattern"])
    assert done.exit_code == 0, done.output
    assert "zeros: 1,280" in done.stdout
    for folder in ("sparse", "pattern"):
        done = CliRunner().invoke(app, ["verify", folder, "--model", f"{file}:model"])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("quantize", [], "give one of --scheme int8 and --budget bytes=25%"),
        ("quantize", ["--scheme", "int3"], "scheme='int3'; give one of"),
        ("quantize", ["--budget", "bytes=50%"], "give data"),
        ("quantize", ["--scheme", "int8", "--clip", "best"], "clip='best'"),
        ("quantize", ["--scheme", "int8", "--heal", "1"], "heal=1 distils on data, and none was given"),
        ("sparsify", [], "give one of --threshold NUMBER, --share NUMBER and --pattern N:M"),
        ("sparsify", ["--pattern", "4:2"], "write N:M"),
        ("sparsify", ["--share", "0.5", "--criterion", "wanda"], "give data"),
    ],
)
def test_bad_input_is_one_message(file: str, command: str, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, [command, f"{file}:model", "--out", "new", *options])
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not Path("new").exists()
