"""``netsmith search`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app
from netsmith.reports.record import read_run

FILE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)), (2, 4)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 4, generator=g), torch.randint(0, 3, (16,), generator=g)) for _ in range(5)]
"""


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text(FILE)
    data = ["--data", "plain.py:batches", "--eval", "plain.py:batches"]
    budgets = ["--budget", "macs=60%", "--budget", "macs=30%,params=50%"]
    return ["search", "plain.py:model", *data, *budgets, "--trials", "4", "--finalists", "1"]


def test_search_verify_and_resume(args: list[str]) -> None:
    done = CliRunner().invoke(app, [*args, "--heal", "1", "--out", "found", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["best"]) == 2 and told["judged"] >= 6 and set(told["original"]) >= {"macs", "accuracy", "f1"}
    run = read_run(Path("found"))
    assert run.kind == "search" and run.command[0].startswith("netsmith search plain.py:model")
    for point in told["front"]:
        assert point["verified"] and point["macs"] <= 0.6 * told["original"]["macs"]
        again = CliRunner().invoke(app, ["verify", point["folder"], "--model", "plain.py:model"])
        assert again.exit_code == 0, again.output
    assert {point["name"] for point in told["front"]} >= set(told["best"])

    occupied = CliRunner().invoke(app, [*args, "--out", "found"])
    assert occupied.exit_code == 2 and "there is something already" in occupied.stderr
    resumed = CliRunner().invoke(app, [*args, "--heal", "1", "--out", "found", "--resume", "--json"])
    assert resumed.exit_code == 0, resumed.output
    assert json.loads(resumed.stdout)["front"] == told["front"]


def test_as_text(args: list[str]) -> None:
    done = CliRunner().invoke(app, [*args, "--strategy", "random", "--budget", "params=1000000", "--out", "found"])
    assert done.exit_code == 0, done.output
    assert "costs no more than the budget allows already (params 403 of 1,000,000)" in done.stdout
    for text in ("highest accuracy", "Best under", "netsmith verify found/front/", "netsmith report found"):
        assert text in done.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--budget", "flops=3"], "--budget 'flops=3': write NAME=VALUE"),
        (["--budget", "params=150%"], "a budget of params=150% is more than the model costs"),
        (["--strategy", "annealing"], "there is no strategy 'annealing'"),
        (["--precision", "int3"], "precision='int3' is unknown"),
        (["--objective", "bleu"], "evaluate gives no score 'bleu'; it gives accuracy, f1"),
        (["--only", "body"], "only='body' matches no axis and no block"),
    ],
)
def test_bad_options(args: list[str], more: list[str], message: str) -> None:
    done = CliRunner().invoke(app, [*args, *more, "--out", "found"])
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert not Path("found/run.json").exists()


def test_only_folders_of_searches_are_gone_on_with(args: list[str]) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("")
    done = CliRunner().invoke(app, [*args, "--out", "mine", "--resume"])
    assert done.exit_code == 2 and "mine holds thesis.tex, which no search wrote" in done.stderr


def test_data_to_choose_by_is_needed(args: list[str]) -> None:
    done = CliRunner().invoke(app, [*args[:4], "--budget", "macs=50%", "--out", "found"])
    assert done.exit_code == 2 and "give --eval DATA" in done.stderr
