"""Code that the recipes of tests name: a small residual network, and data that can be counted and cut short."""

NETWORK = '''
import os
import signal
from pathlib import Path

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 16))

    def forward(self, x):
        return x + self.inner(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Linear(4, 16), nn.Linear(16, 3)
        self.blocks = nn.Sequential(*(Block() for _ in range(4)))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).relu())


def model():
    torch.manual_seed(0)
    return Net(), (2, 4)


def batches():
    g = torch.Generator().manual_seed(0)
    return [(x, x[:, :3].argmax(1)) for x in torch.randn(64, 4, generator=g).split(16)]


def held_out():
    g = torch.Generator().manual_seed(1)
    return [(x, x[:, :3].argmax(1)) for x in torch.randn(64, 4, generator=g).split(64)]


class Dangerous(list):
    """The same batches; in the pass that the file "pass" names, behind two batches, what it names happens."""

    def __iter__(self):
        what, _, count = Path("pass").read_text().partition(" ") if Path("pass").exists() else ("", "", "0")
        Path("pass").write_text(f"{what} {int(count) - 1}")
        for index, batch in enumerate(list.__iter__(self)):
            if int(count) == 1 and index == 2:
                if what == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
            yield batch


def dangerous():
    return Dangerous(batches())


def share_right(model, batches):
    x, y = next(iter(batches))
    return {"right": (model(x).argmax(1) == y).float().mean(), "n": 1.0}
'''

# What the tests of ``regularize`` press units of to zero, and data for it.
PRESSED = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    layers = nn.Linear(4, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3)
    return nn.Sequential(*layers), (2, 4)


def batches(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [(x, x[:, :3].argmax(1)) for x in torch.randn(128, 4, generator=g).split(32)]


def held_out():
    return batches(1)
"""
