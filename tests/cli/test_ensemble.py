"""``netsmith ensemble`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from ensemble_members import perceptron, trained
from netsmith.cli import app
from netsmith.files import load_ensemble

FILE = """
import torch
from torch import nn


def net(hidden=12):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10)), (2, 1, 8, 8)


def wide():
    return net(48)


def unlabelled():
    return [torch.zeros(4, 1, 8, 8)]
"""


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(FILE)
    for name in ("tiny", "wide"):
        save_file(trained()[name].state_dict(), f"{name}.safetensors")
    return ["tiny=nets.py:net@tiny.safetensors", "nets.py:wide@wide.safetensors"]


def told(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["ensemble", *arguments, "--out", "out", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


DATA = ["--data", "digits:validation", "--eval", "digits:test"]
COST = ["--target-cost", "60%", "--combine", "mean"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--kind", "parallel", "--rule", "vote", "--eval", "digits:test"], "Parallel"),
        (["--kind", "blend", "--method", "greedy", *DATA], "Parallel"),
        (["--kind", "stack", "--method", "ridge", *DATA], "Stack"),
        (["--kind", "mixture", *DATA], "Mixture"),
        (["--kind", "cascade", *COST, *DATA], "Cascade"),
        (["--kind", "select", *DATA], None),
    ],
)
def test_every_kind_is_saved_and_loads(members: list[str], options: list[str], kind: str | None) -> None:
    report = told(*members, *options)
    assert kind in (None, report["made"])
    assert set(report["quality"]) == {"tiny", "wide", "ensemble"}
    assert bool(report["front"]) == (kind is None)
    builders = {"tiny": perceptron, "wide": lambda: perceptron(48)}
    model = load_ensemble("out", {name: builders[name] for name in report["members"]})
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    sources = json.loads(Path("out/members.json").read_text())["members"]
    assert sources["tiny"]["model"] == "nets.py:net" and sources["tiny"]["weights"] == "tiny.safetensors"


def test_a_cascade_reports_mean_and_worst_cost(members: list[str]) -> None:
    report = told(*members, "--kind", "cascade", *COST, *DATA)
    quality = report["quality"]
    assert quality["ensemble"]["worst_macs"] == quality["tiny"]["worst_macs"] + quality["wide"]["worst_macs"]
    assert quality["ensemble"]["mean_macs"] < quality["wide"]["mean_macs"]
    assert len(report["numbers"]["thresholds"]) == 1


def test_the_table(members: list[str]) -> None:
    done = CliRunner().invoke(app, ["ensemble", *members, "--kind", "select", *DATA, "--out", "out"])
    assert done.exit_code == 0, done.output
    for text in ("accuracy against mean cost", "mean MACs", "ECE", "as one model."):
        assert text in done.stdout
    noted = CliRunner().invoke(app, ["ensemble", *members, "--data", "digits:validation", "--out", "again"])
    assert "which flatters it; give --eval" in noted.stderr


def test_a_pruned_member(members: list[str]) -> None:
    shrink = ["shrink", "netsmith.zoo:digits_resnet", "--input", "1,1,8,8", "--budget", "macs=50%", "--out", "small"]
    assert CliRunner().invoke(app, shrink).exit_code == 0
    report = told("small", *members, "--rule", "geometric", "--eval", "digits:test")
    assert report["members"] == ["small", "tiny", "wide"]
    original = ["s=netsmith.zoo:digits_resnet@small", "--input", "1,1,8,8"]
    done = CliRunner().invoke(app, ["ensemble", *original, "--out", "other", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["members"] == ["s"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "best"], "--kind 'best' is unknown; there are parallel, blend"),
        (["--kind", "stack"], "--kind stack is fitted on labelled data; give --data"),
        (["--kind", "cascade", *DATA], "a cascade needs one of --target-accuracy and --target-cost"),
        (["--kind", "cascade", "--target-cost", "much", *DATA], "--target-cost 'much': write MACs"),
        (["--kind", "cascade", "--target-accuracy", "1.0", *DATA], "no thresholds reach an accuracy of 1.0000"),
        (["--kind", "blend", "--method", "x", *DATA], "method='x' is unknown"),
        (["--kind", "blend", "--data", "nets.py:unlabelled"], "ensembles are fitted on labelled data"),
        (["--rule", "x"], "rule='x' is unknown"),
        (["nets.py:net", "a/nets.py:net"], "two members are called 'net'; give them names: NAME=a/nets.py:net"),
    ],
)
def test_bad_input_is_one_message_and_nothing_written(members: list[str], options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["ensemble", *members, *options, "--out", "out"])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not Path("out").exists()
