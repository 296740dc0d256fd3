"""Random small networks from a seed.

A network is a chain of pieces that hand on a value of a known shape: an image (batch, channels, h, w) or a sequence
(batch, tokens, width). Each piece draws what it is made of; shapes fit by construction. Sizes stand in attributes, as
people write them, and now and then as a number in forward.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fuzz.images import IMAGE_PIECES
from fuzz.sequences import SEQUENCE_PIECES


class Network(nn.Module):
    """A stem, pieces, and a head with five outputs."""

    def __init__(self, stem: nn.Module, pieces: list[nn.Module], head: nn.Module):
        super().__init__()
        self.stem, self.pieces, self.head = stem, nn.ModuleList(pieces), head

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for piece in self.pieces:
            x = piece(x)
        return self.head(x)


class Pooled(nn.Module):
    """Mean or maximum over positions, then a linear layer."""

    def __init__(self, rng: random.Random, width: int, positions: tuple[int, ...]):
        super().__init__()
        self.positions, self.largest = positions, rng.random() < 0.3
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.amax(self.positions) if self.largest else x.mean(self.positions))


class Flattened(nn.Module):
    """Everything flattened into a linear layer, by one of the three usual spellings."""

    def __init__(self, rng: random.Random, size: int):
        super().__init__()
        self.spelling = rng.choice(["flatten", "view", "module"])
        self.flatten, self.fc = nn.Flatten(), nn.Linear(size, 5)

    def forward(self, x: Tensor) -> Tensor:
        if self.spelling == "flatten":
            return self.fc(torch.flatten(x, 1))
        return self.fc(x.reshape(x.size(0), -1) if self.spelling == "view" else self.flatten(x))


class Patches(nn.Module):
    """An image becomes a sequence."""

    def __init__(self, rng: random.Random, channels: int, size: int, width: int):
        super().__init__()
        self.project = nn.Conv2d(channels, width, 2, 2)
        self.position = nn.Parameter(torch.randn(1, (size // 2) ** 2, width))
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x).flatten(2).transpose(1, 2) + self.position


class FirstToken(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(x)[:, 0])


class Looked(nn.Module):
    """Words and their places."""

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.words, self.places = nn.Embedding(11, width), nn.Embedding(tokens, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.words(x) + self.places(torch.arange(x.shape[1]))


def network(seed: int) -> tuple[nn.Module, Tensor]:
    """The network of a seed, all its tensors random, in eval mode, and an input."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    kind = rng.choice(["image", "image", "sequence", "patches"])
    pieces: list[nn.Module] = []
    if kind == "sequence":
        width, tokens = rng.choice([8, 12, 16, 24]), rng.choice([4, 5, 6])
        words = rng.random() < 0.5
        stem: nn.Module = Looked(width, tokens) if words else nn.Linear(6, width)
        x = torch.randint(0, 11, (3, tokens)) if words else torch.randn(3, tokens, 6)
        width = _grown(rng, pieces, SEQUENCE_PIECES, width, tokens)
        head = _head_of_sequence(rng, width, tokens)
    else:
        channels, size = rng.choice([8, 12, 16, 24]), rng.choice([4, 6])
        stem, x = nn.Conv2d(3, channels, 3, padding=1, bias=rng.random() < 0.5), torch.randn(3, 3, size, size)
        channels = _grown(rng, pieces, IMAGE_PIECES, channels, size)
        if kind == "patches":
            width = rng.choice([8, 12, 16])
            pieces.append(Patches(rng, channels, size, width))
            width = _grown(rng, pieces, SEQUENCE_PIECES, width, (size // 2) ** 2)
            head = _head_of_sequence(rng, width, (size // 2) ** 2)
        elif rng.random() < 0.5:
            head = Pooled(rng, channels, (2, 3))
        else:
            head = Flattened(rng, channels * size * size)
    return _randomized(Network(stem, pieces, head)).eval(), x


Piece = Callable[[random.Random, int, int], tuple[nn.Module, int]]


def _grown(rng: random.Random, pieces: list[nn.Module], kinds: list[Piece], width: int, size: int) -> int:
    for _ in range(rng.randint(1, 4)):
        piece, width = rng.choice(kinds)(rng, width, size)
        pieces.append(piece)
    return width


def _head_of_sequence(rng: random.Random, width: int, tokens: int) -> nn.Module:
    return rng.choice(
        [lambda: Pooled(rng, width, (1,)), lambda: FirstToken(width), lambda: Flattened(rng, tokens * width)]
    )()


def _randomized(model: nn.Module) -> nn.Module:
    """No tensor stays constant: running statistics, biases and scales too."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.dim() <= 1:
                noise = torch.randn_like(tensor)
                tensor.copy_(0.5 + noise.abs() if "var" in name else tensor + 0.3 * noise)
    return model
