"""``netsmith regularize`` as a user types it."""

from __future__ import annotations

import json
import runpy
import shlex
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from code_blocks import code_blocks
from netsmith.cli import app
from netsmith.reports.record import read_run
from recipe_networks import PRESSED

DATA = ["--data", "net.py:batches", "--eval", "net.py:held_out"]
HOW = ["--epochs", "40", "--lr", "0.05", "--json"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(PRESSED)


def run(*args: str, code: int = 0):
    done = CliRunner().invoke(app, ["regularize", *args] if args[0] != "verify" else list(args))
    assert done.exit_code == code, done.output
    return done


def test_units_go_to_zero_and_are_removed() -> None:
    press = ["--strength", "0.003", "--threshold", "0.1"]
    told = json.loads(run("net.py:model", *DATA, *HOW, *press, "--out", "out").stdout)
    assert [step["name"] for step in told["steps"]] == ["before", "regularize", "remove"]
    before, trained, removed = told["steps"]
    assert trained["macs"] == before["macs"] and removed["macs"] < 0.9 * before["macs"]
    assert removed["accuracy"] > 0.7 and told["verdict"]["ok"] and "units removed" in told["said"][0]
    run("verify", "out", "--model", "net.py:model")
    assert read_run(Path("out")).command[0].startswith("netsmith regularize net.py:model")

    kept = json.loads(run("net.py:model", *DATA, *HOW, *press, "--keep-units", "--out", "kept").stdout)
    assert [step["name"] for step in kept["steps"]] == ["before", "regularize"]
    assert {**kept["steps"][1], "latency_ms": None} == {**trained, "latency_ms": None} and "said" not in kept
    assert load_file("kept/model.safetensors")["0.weight"].shape == (24, 4)


def test_growing_presses_what_a_budget_leaves_out_and_goes_on_from_a_folder() -> None:
    train = ["--data", "net.py:batches", "--epochs", "20", "--json"]
    growing = ["--penalty", "growing", "--budget", "peak_bytes=70%", "--rise", "0.05", "--rise-every", "2"]
    told = json.loads(run("net.py:model", *train, *growing, "--out", "first").stdout)
    before, *_, removed = told["steps"]
    assert removed["peak_bytes"] <= 0.7 * before["peak_bytes"]
    more = ["--penalty", "l1", "--strength", "0.001", "--model", "net.py:model"]
    told = json.loads(run("first", *train, *more, "--out", "second").stdout)
    assert [step["name"] for step in told["steps"]][:3] == ["original", "before", "regularize"]
    run("verify", "second", "--model", "net.py:model")


def test_as_text_where_nothing_went() -> None:
    done = run("net.py:model", *DATA, "--steps", "1", "--strength", "0", "--threshold", "0", "--out", "out")
    assert "no unit went to zero" in done.stdout and "Saved in out" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--penalty", "l3", "--strength", "1"], "--penalty 'l3' is unknown; there are group_lasso, slimming, growing"),
        ([], "--penalty group_lasso needs --strength NUMBER"),
        (["--strength", "1", "--budget", "macs=50%"], "--penalty growing takes --budget NAME=VALUE"),
        (["--penalty", "growing"], "--penalty growing takes --budget NAME=VALUE"),
        (["--penalty", "growing", "--budget", "macs=200%"], "more than the model costs"),
        (["--penalty", "growing", "--budget", "macs=1"], "the budget cannot be met: macs would be"),
        (["--strength", "1", "--threshold", "1"], "--threshold 1 is no share below 1"),
        (["--strength", "inf"], "--rise and --strength are finite numbers"),
        (["--strength", "1", "--epochs", "1"], "give epochs or steps, one of the two"),
        (["--strength", "1", "--ignore", "nothing.*"], "nothing.*"),
    ],
)
def test_bad_input(args: list[str], message: str) -> None:
    done = run("net.py:model", *DATA, "--steps", "1", *args, "--out", "o", code=2)
    assert message in " ".join(done.stderr.split())
    assert not Path("o").exists()


def test_what_the_docs_show() -> None:
    """As written, on the small network instead of the digits ResNet."""
    (shown,) = [block for block in code_blocks("docs/cli.md", "bash") if block.startswith("netsmith regularize")]
    words = shlex.split(shown.replace("\\\n", " "))
    save_file(runpy.run_path("net.py")["model"]()[0].state_dict(), "digits.safetensors")
    ours = {"netsmith.zoo:digits_resnet": "net.py:model", "1,1,8,8": "2,4", "digits": "net.py:batches"}
    told = run(*[ours.get(word, word) for word in words[2:]], "--json")
    before, *_, removed = json.loads(told.stdout)["steps"]
    assert removed["macs"] <= 0.5 * before["macs"]
