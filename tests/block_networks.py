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


class StreamLayer(nn.Module):
    """A transformer layer without the transformer; ``kind`` says how its two branches meet the stream.

    "pre": x + mix(norm(x)), then x + down(relu(up(norm(x)))). "post": the norm is behind the sum. "parallel": both read
    the same and are added at once. "scaled": what is added goes through dropout and a factor first. "gated": one
    branch multiplies the other. "peeked": the result is read by something else as well.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.gamma = kind, nn.Parameter(torch.ones(4))
        self.mix, self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 4)
        self.norm1, self.norm2 = nn.LayerNorm(4), nn.LayerNorm(4)

    def fed(self, x: Tensor) -> Tensor:
        return self.down(F.relu(self.up(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "post":
            x = self.norm1(x + self.mix(x))
            return self.norm2(x + self.fed(x))
        if self.kind == "parallel":
            return x + self.mix(self.norm1(x)) + self.fed(self.norm2(x))
        if self.kind == "scaled":
            x = x + F.dropout(self.mix(self.norm1(x)), 0.1, self.training) * self.gamma
            return x + self.fed(self.norm2(x))[:]
        mixed = self.mix(self.norm1(x))
        if self.kind == "gated":
            return x + mixed * self.fed(self.norm2(x))
        x = x + mixed
        x = x + self.fed(self.norm2(x))
        return x + mixed.tanh() if self.kind == "peeked" else x


class Streamed(nn.Module):
    """A stem, layers, a head of two classes."""

    def __init__(self, kind: str, layers: int = 2) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.layers = nn.ModuleList(StreamLayer(kind) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Narrowing(nn.Module):
    """Two stages of residual blocks; the first block of the second halves the image and doubles the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(8, 5)
        self.one = nn.Sequential(Block(4, 0), Block(4, 1))
        self.two = nn.Sequential(Downsampling(4, 8), Block(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.two(self.one(self.stem(x))).mean((2, 3)))


class Downsampling(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.conv2, self.short = nn.Conv2d(outputs, outputs, 1), nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.short(x) + self.conv2(F.relu(self.conv1(x)))


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
