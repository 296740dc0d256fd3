"""``netsmith join`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import netsmith
from netsmith.cli import app
from netsmith.zoo import digits_resnet

ZOO = "nets.py:net"
FILE = """
from netsmith.zoo import digits_resnet


def net():
    return digits_resnet(3), (2, 1, 8, 8)


def few():
    from netsmith.data import batches, digits

    return list(batches(digits(0).train, 32))[:4]
"""
DATA = ("--zip", "--data", "nets.py:few")


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(FILE)
    for name, seed in (("a", 0), ("b", 1)):
        torch.manual_seed(seed)
        save_file(small().state_dict(), f"{name}.safetensors")
    return [f"{name}={ZOO}@{name}.safetensors" for name in "ab"]


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def small() -> torch.nn.Module:
    return digits_resnet(3)


def alone(name: str) -> torch.nn.Module:
    from safetensors.torch import load_file

    model = small().eval()
    model.load_state_dict(load_file(f"{name}.safetensors"))
    return model


def test_joined_saved_and_verified(members: list[str]) -> None:
    told = run("join", *members, "--shares", "1,3", "--out", "both")
    assert told["verdict"]["ok"] and told["members"] == ["a", "b"] and told["error"] < 1e-5
    assert [step["name"] for step in told["steps"]] == ["a", "b", "joined"]
    x = torch.randn(3, 1, 8, 8)
    joined = netsmith.load("both", small)
    assert torch.allclose(joined(x), 0.25 * alone("a")(x) + 0.75 * alone("b")(x), atol=1e-5)
    assert run("verify", "both", "--model", ZOO)["ok"]
    assert json.loads(Path("both/members.json").read_text())["members"]["b"]["weights"] == "b.safetensors"


def test_zipped(members: list[str]) -> None:
    told = run("join", *members, *DATA, "--repair", "statistics", "--eval", "nets.py:few", "--out", "one")
    assert told["verdict"]["ok"] and told["left"] == {}
    params = {step["name"]: step["params"] for step in told["steps"]}
    assert params["zipped"] == params["a"] < params["joined"]
    assert all(step["accuracy"] is not None for step in told["steps"])


def test_what_another_command_changed_is_joined_too(members: list[str]) -> None:
    few = ("--data", "nets.py:few")
    run("cut", ZOO, "--weights", "a.safetensors", "--blocks", "1", *few, "--no-maps", "--out", "cut")
    run("finetune", "cut", "--model", ZOO, *few, "--steps", "2", "--lr", "0.001", "--out", "tuned")
    told = run("join", f"{ZOO}@cut", f"tuned={ZOO}@tuned", "--out", "both")
    assert told["verdict"]["ok"]
    assert run("verify", "both", "--model", ZOO)["ok"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--zip"], "--zip merges units that are alike on data; give --data"),
        (["--until", "conv1"], "--data and --until say how to zip; give --zip too"),
        (["--shares", "1"], "--shares '1': write one number for each of the 2 members"),
        (["--shares", "1,-1"], "give one positive number each"),
        ([*DATA, "--repair", "x"], "repair='x' is unknown"),
        ([*DATA, "--until", "x"], "no module 'x' runs"),
    ],
)
def test_bad_input_is_one_message_and_nothing_written(members: list[str], options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["join", *members, *options, "--out", "out"])
    assert done.exit_code == 2
    assert message in done.stderr.replace("\n", " ")
    assert not Path("out").exists()


def test_one_member_is_not_enough(members: list[str]) -> None:
    done = CliRunner().invoke(app, ["join", members[0], "--out", "out"])
    assert done.exit_code == 2 and "at least two members" in done.stderr
