"""``netsmith cut`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app


def test_cut_and_verify(file: str) -> None:
    args = ["cut", f"{file}:model", "--data", f"{file}:batches", "--eval", f"{file}:batches", "--blocks", "2"]
    done = CliRunner().invoke(app, [*args, "--out", "short", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["blocks"]) == 2 and told["verdict"]["ok"] and told["left"] == {}
    assert [step["name"] for step in told["steps"]] == ["original", "cut", "rejoin"]
    assert told["steps"][-1]["macs"] < told["steps"][0]["macs"] and "accuracy" in told["steps"][-1]
    done = CliRunner().invoke(app, ["verify", "short", "--model", f"{file}:model"])
    assert done.exit_code == 0, done.output


def test_it_prints_what_is_gone(file: str) -> None:
    args = ["cut", f"{file}:model", "--data", f"{file}:batches", "--budget", "macs=80%", "--no-maps", "--out", "short"]
    done = CliRunner().invoke(app, [*args, "--html", "report.html"])
    assert done.exit_code == 0, done.output
    page = Path("report.html").read_text(encoding="utf-8")
    assert "<h2>Blocks</h2>" in page and "Divergence of the outputs when the block returns its input" in page
    assert "removed" in done.stdout and "netsmith verify short" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give one of --blocks N, --budget NAME=VALUE and --threshold NUMBER"),
        (["--blocks", "1", "--threshold", "0.1"], "give one of --blocks N"),
        (["--blocks", "9"], "blocks=9, but only 4 blocks can be cut"),
        (["--threshold", "-1"], "threshold=-1.0 must be a number > 0"),
        (["--budget", "macs=200%"], "a budget of macs=200% is more than the model costs"),
        (["--budget", "macs=0.001%"], "the budget cannot be met by cutting"),
        (["--blocks", "1", "--influence", "fisher"], "influence='fisher'; give one of divergence"),
    ],
)
def test_bad_input_is_one_message(file: str, options: list[str], message: str) -> None:
    args = ["cut", f"{file}:model", "--data", f"{file}:batches", "--out", "short", "--no-maps", *options]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not Path("short").exists()
