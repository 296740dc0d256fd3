"""A file of the user's own, with a small residual network and labelled batches."""

from __future__ import annotations

from pathlib import Path

import pytest

FILE = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x.relu())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 6, 1), nn.Sequential(*(Block() for _ in range(4)))
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def model():
    torch.manual_seed(0)
    return Net(), (2, 1, 6, 6)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(torch.randn(16, 1, 6, 6, generator=g), torch.randint(0, 3, (16,), generator=g)) for _ in range(4)]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocky.py").write_text(FILE)
    return "blocky.py"
