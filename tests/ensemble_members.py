"""Small members for the tests of ensembles: networks without training, and data on which they differ."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from netsmith.data import Splits, digits


def perceptron(hidden: int = 12, classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def convolutional(width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(64 * width, 10)
    )


@cache
def data() -> Splits:
    return digits()


@cache
def trained() -> dict[str, nn.Module]:
    """Three networks, each trained for a moment: accuracies differ, and none is perfect."""
    made = {}
    for name, build, steps in (
        ("tiny", perceptron, 20),
        ("wide", lambda: perceptron(48), 60),
        ("conv", convolutional, 80),
    ):
        torch.manual_seed(len(made))
        made[name] = descended(build(), steps)
    return made


def descended(model: nn.Module, steps: int) -> nn.Module:
    """The model after so many steps of Adam on whole batches of 256 digits."""
    x, y = data().train.images, data().train.labels
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        rows = torch.arange(256) + 256 * (step % 4)
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def batches(split: str = "validation", size: int = 100) -> list[tuple[Tensor, Tensor]]:
    examples = getattr(data(), split)
    return list(zip(examples.images.split(size), examples.labels.split(size), strict=True))


def accuracy(model: nn.Module, split: str = "test") -> float:
    with torch.no_grad():
        return float((model(getattr(data(), split).images).argmax(1) == getattr(data(), split).labels).float().mean())
