"""Folders of ensembles, opened by other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from ensemble_members import trained
from netsmith.cli import app

FILE = """
from torch import nn


def net(hidden=12):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10)), (2, 1, 8, 8)


def wide():
    return net(48)
"""
NAMED = "tiny=nets.py:net,wide=nets.py:wide"


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2, done.output
    return done.stderr


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two members that are code of their own, in the folder "both"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(FILE)
    for name in ("tiny", "wide"):
        save_file(trained()[name].state_dict(), f"{name}.safetensors")
    run("ensemble", "tiny=nets.py:net@tiny.safetensors", "wide=nets.py:wide@wide.safetensors", "--out", "both")
    return f"both,{NAMED}"


def test_measured(both: str) -> None:
    alone = [run("measure", f"nets.py:{name}", "--no-latency")["params"] for name in ("net", "wide")]
    told = run("measure", both, "--no-latency")
    assert told["params"] == sum(alone)


def test_teacher_of_one_network(both: str) -> None:
    told = run("distil", "nets.py:net", "--teacher", both, "--data", "digits", "--steps", "3", "--out", "one")
    assert Path("one/model.safetensors").is_file() and told["verdict"]["ok"]


def test_exported(both: str) -> None:
    told = run("export", "both", "--model", NAMED, "--to", "torch-export", "--out", "written")
    assert told["largest_difference"] < 1e-5
    assert torch.export.load(Path("written") / told["file"]).module()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_verified_and_a_changed_member_is_seen(both: str) -> None:
    told = run("verify", "both", "--model", NAMED)
    assert told["ok"] and [c["name"] for c in told["checks"]] == ["tiny: weights", "wide: weights", "runs"]
    tensors = load_file("tiny.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, "tiny.safetensors")
    done = CliRunner().invoke(app, ["verify", "both", "--model", NAMED, "--json"])
    assert done.exit_code == 1
    assert [c["status"] for c in json.loads(done.stdout)["checks"]] == ["failed", "exact", "ok"]


def test_pruned_members_of_the_zoo_need_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    zoo = ("netsmith.zoo:digits_resnet", "--input", "1,1,8,8")
    run("shrink", *zoo, "--budget", "macs=50%", "--out", "small")
    run("ensemble", "small", f"large={zoo[0]}", *zoo[1:], "--rule", "logits", "--out", "both")
    told = run("verify", "both")
    names = ["small: weights", "small: structure", "small: attributes", "small: weights", "small: outputs"]
    assert told["ok"] and [c["name"] for c in told["checks"]][:5] == names
    assert run("measure", "both", "--no-latency")["params"] > run("measure", *zoo, "--no-latency")["params"]
    Path("small").rename("moved")
    assert "member 'small': the folder small that it was made from is gone" in refused("verify", "both")


def test_code_of_a_stranger_does_not_run(both: str) -> None:
    Path("nets.py").write_text("raise SystemExit('it ran')")
    for command in (["measure", "both"], ["verify", "both"], ["export", "both", "--to", "onnx", "--out", "x"]):
        said = refused(*command)
        assert "to open it that code has to run" in said and f"--model {NAMED}" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure", "both,tiny"], "write NAME=MODEL for each member"),
        (["measure", "both,third=nets.py:net"], "has no member 'third'; it has tiny, wide"),
        (["measure", "both", "--weights", "tiny.safetensors"], "holds the weights of its members"),
        (["verify", "both", "--weights", "tiny.safetensors"], "an ensemble has many originals"),
        (["measure", "both,tiny=nets.py:wide,wide=nets.py:wide"], "both"),
    ],
)
def test_bad_input(both: str, arguments: list[str], message: str) -> None:
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "members.json cannot be read"),
        ('{"version": 9}', "is no members.json of version 1"),
        ('{"version": 1, "members": {}}', "says nothing of tiny, wide"),
        ('{"version": 1, "members": {"tiny": {"model": 3}}}', "model, seed missing or of the wrong type"),
    ],
)
def test_a_changed_list_of_members(both: str, text: str, message: str) -> None:
    Path("both/members.json").write_text(text)
    assert message in refused("measure", both).replace("\n", " ")
