"""Small networks made of blocks that can be cut."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """x + what two convolutions make of it. ``layer_index`` is nothing that forward reads."""

    def __init__(self, width: int, index: int) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 1)
        self.layer_index = index

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm(self.conv1(x))))


class Stacked(nn.Module):
    """A stem, four blocks in an nn.Sequential, one that stands alone, a classifier of five classes."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.blocks = nn.Sequential(*(Block(width, i) for i in range(4)))
        self.alone = Block(width, 0)
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.alone(self.blocks(F.relu(self.stem(x)))).mean((2, 3)))


class Placed(nn.Module):
    """Layers in an nn.ModuleList; ``kind`` says how forward reaches them.

    "loop": all, one after the other. "counted": as many as ``depth`` says. "indexed": by number. "scaled": each
    result is scaled by its layer's index. "shared": the first layer comes twice. "peeking": the last layer reads what
    is inside the first.
    """

    def __init__(self, kind: str = "loop", layers: int = 3) -> None:
        super().__init__()
        self.kind, self.depth = kind, layers
        self.layers = nn.ModuleList(Layer(i) for i in range(layers))
        if kind == "shared":
            self.layers.append(self.layers[0])
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner: list[Tensor] = []
        chosen: Any = self.layers
        if self.kind == "counted":
            chosen = [self.layers[i] for i in range(self.depth)]
        elif self.kind == "indexed":
            chosen = [self.layers[0], self.layers[1], self.layers[2]]
        for layer in chosen:
            x = layer(x, scaled=self.kind == "scaled", inner=inner)
        return self.head(x + inner[0] if self.kind == "peeking" else x)


class Layer(nn.Module):
    def __init__(self, index: int) -> None:
        super().__init__()
        self.linear, self.index = nn.Linear(4, 4), index

    def forward(self, x: Tensor, scaled: bool, inner: list[Tensor]) -> Tensor:
        made = torch.tanh(self.linear(x))
        inner.append(made)
        return x + (made * (self.index + 1.0) if scaled else made)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def stacked(width: int = 6) -> Stacked:
    """The same weights every time; normalizations that are no identities."""
    torch.manual_seed(0)
    model = Stacked(width)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return model.eval()
