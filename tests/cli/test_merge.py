"""``netsmith merge`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsmith.cli import app

FILE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

    def forward(self, x):
        return x + self.norm(self.conv(x.relu()))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 6, 1), nn.Sequential(*(Block() for _ in range(3)))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def model():
    torch.manual_seed(0)
    return Net(), (2, 1, 6, 6)


def plain():
    return nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (2, 3)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 1, 6, 6, generator=g), torch.randint(0, 3, (16,), generator=g)) for _ in range(4)]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocky.py").write_text(FILE)
    return "blocky.py"


def test_exact_merges_and_verify(file: str) -> None:
    done = CliRunner().invoke(app, ["merge", f"{file}:model", "--out", "merged", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["merged"][0] == {
        "layers": ["blocks.0.conv", "blocks.0.norm"],
        "into": "blocks.0.conv",
        "how": "exact",
    }
    assert len(told["merged"]) == 3 and told["verdict"]["ok"]
    done = CliRunner().invoke(app, ["verify", "merged", "--model", f"{file}:model"])
    assert done.exit_code == 0, done.output


def test_similar_blocks(file: str) -> None:
    args = ["merge", f"{file}:model", "--pairs", "1", "--data", f"{file}:batches", "--eval", f"{file}:batches"]
    done = CliRunner().invoke(app, [*args, "--out", "merged"])
    assert done.exit_code == 0, done.output
    assert "-> blocks." in done.stdout and "(exact)" in done.stdout and "netsmith verify merged" in done.stdout
    done = CliRunner().invoke(app, ["merge", f"{file}:plain", "--out", "same"])
    assert done.exit_code == 0 and "Nothing in this model can be merged." in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", "1"], "needs unlabelled examples: give --data DATA"),
        (["--pairs", "1", "--threshold", "0.9", "--data", "blocky.py:batches"], "give --pairs N or --threshold NUMBER"),
        (["--no-exact"], "nothing to do"),
        (["--threshold", "2", "--data", "blocky.py:batches"], "threshold=2.0 must be a similarity"),
    ],
)
def test_bad_options_leave_nothing_behind(file: str, options: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["merge", f"{file}:model", *options, "--out", "merged"])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split()) and not Path("merged").exists()
