"""Pieces of random networks for images: (batch, channels, size, size) in and out, the size unchanged."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _width(rng: random.Random) -> int:
    return rng.choice([8, 12, 16, 24])


def _normalization(rng: random.Random, channels: int) -> nn.Module:
    kind = rng.choice(["batch", "batch", "group", "one group", "none"])
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    return nn.GroupNorm(4 if kind == "group" else 1, channels)


def _activation(rng: random.Random, channels: int) -> nn.Module:
    return rng.choice([nn.ReLU, nn.SiLU, nn.GELU, nn.Hardswish, lambda: nn.PReLU(channels), lambda: nn.ReLU(True)])()


class Plain(nn.Module):
    """Convolution, normalization, activation."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        kernel = rng.choice([1, 3])
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.norm, self.act = _normalization(rng, out), _activation(rng, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Grouped(nn.Module):
    """A grouped convolution, maybe with another number of channels a group on each side."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3, padding=1, groups=rng.choice([2, 4]))
        self.norm = _normalization(rng, out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Depthwise(nn.Module):
    """Depthwise and pointwise, the former maybe with several outputs a channel."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        times = rng.choice([1, 1, 2])
        self.depth = nn.Conv2d(channels, channels * times, 3, padding=1, groups=channels)
        self.norm, self.point = _normalization(rng, channels * times), nn.Conv2d(channels * times, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.point(F.relu6(self.norm(self.depth(x))))


class Inverted(nn.Module):
    """MobileNet's block: widen, depthwise, squeeze and excite, narrow, residual sum."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        inner = channels * rng.choice([2, 3])
        self.widen, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.depth, self.bn2 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False), nn.BatchNorm2d(inner)
        self.excite = Excited(rng, inner) if rng.random() < 0.6 else nn.Identity()
        self.narrow, self.bn3 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.bn2(self.depth(F.hardswish(self.bn1(self.widen(x))))))
        return x + self.bn3(self.narrow(self.excite(y)))


class Excited(nn.Module):
    """Squeeze and excitation, with linear layers or 1x1 convolutions."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        self.linear, inner = rng.random() < 0.5, max(4, channels // 4)
        self.down = nn.Linear(channels, inner) if self.linear else nn.Conv2d(channels, inner, 1)
        self.up = nn.Linear(inner, channels) if self.linear else nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(x, 1)
        if self.linear:
            b, c, _, _ = x.shape
            return x * self.up(F.relu(self.down(y.view(b, c)))).sigmoid().view(b, c, 1, 1)
        return x * self.up(F.relu(self.down(y))).sigmoid()


class Bottleneck(nn.Module):
    """A residual block; where the width changes, the shortcut is a 1x1 convolution or zero padding."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        inner = _width(rng)
        self.conv1, self.norm1 = nn.Conv2d(channels, inner, 1), _normalization(rng, inner)
        self.conv2, self.norm2 = nn.Conv2d(inner, out, 3, padding=1), _normalization(rng, out)
        self.more = out - channels if out > channels and rng.random() < 0.4 else 0
        self.shortcut = nn.Identity() if out == channels or self.more else nn.Conv2d(channels, out, 1)
        self.scale = nn.Parameter(torch.rand(out, 1, 1)) if rng.random() < 0.3 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        y = y if self.scale is None else y * self.scale
        x = F.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else self.shortcut(x)
        return F.relu(x + y)


class Dense(nn.Module):
    """Each layer reads the concatenation of all before it."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        growth, layers = rng.choice([4, 6, 8]), rng.randint(1, 3)
        self.layers = nn.ModuleList(nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(layers))
        self.front = rng.random() < 0.5
        self.out = channels + layers * growth
        self.norm = _normalization(rng, self.out) if self.out % 4 == 0 else nn.BatchNorm2d(self.out)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = F.relu(layer(x))
            x = torch.cat([y, x] if self.front else [x, y], 1)
        return self.norm(x)


class Branches(nn.Module):
    """Inception: branches laid end to end, one of them pooled."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        a, b, c = (rng.choice([4, 8, 12]) for _ in range(3))
        self.a, self.b, self.c = (
            nn.Conv2d(channels, a, 1),
            nn.Conv2d(channels, b, 3, padding=1),
            nn.Conv2d(channels, c, 1),
        )
        self.largest = rng.random() < 0.5
        self.out = a + b + c

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else F.avg_pool2d(x, 3, 1, 1)
        return F.relu(torch.cat([self.a(x), self.b(x), self.c(pooled)], 1))


class Shuffled(nn.Module):
    """ShuffleNet: grouped 1x1 convolutions with a channel shuffle between them."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        self.groups = rng.choice([2, 4])
        self.first, self.second = (nn.Conv2d(channels, channels, 1, groups=self.groups) for _ in range(2))
        self.spelling = rng.choice(["view", "module", "unflatten"])
        self.shuffle = nn.ChannelShuffle(self.groups)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first(x))
        b, c, h, w = y.shape
        if self.spelling == "view":
            y = y.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)
        elif self.spelling == "module":
            y = self.shuffle(y)
        else:
            y = y.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
        return x + self.second(y)


class SplitTwo(nn.Module):
    """ShuffleNetV2: half of the channels passes, the other half is worked on; then both are laid together."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        self.half, self.by = channels // 2, rng.choice(["chunk", "split", "slice", "narrow", "literal"])
        self.conv, self.norm = nn.Conv2d(self.half, self.half, 3, padding=1), nn.BatchNorm2d(self.half)
        self.literal = channels == 16

    def forward(self, x: Tensor) -> Tensor:
        if self.by == "chunk":
            a, b = x.chunk(2, 1)
        elif self.by == "split":
            a, b = torch.split(x, self.half, dim=1)
        elif self.by == "slice":
            a, b = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
        elif self.by == "narrow":
            a, b = x.narrow(1, 0, self.half), x.narrow(1, self.half, self.half)
        elif self.literal:
            a, b = x[:, :8], x[:, 8:]
        else:
            a, b = x.tensor_split(2, 1)
        return torch.cat([a, self.norm(F.relu(self.conv(b)))], dim=1)


class Gate(nn.Module):
    """A convolution that makes values and gates."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        self.conv, self.by = nn.Conv2d(channels, out * 2, 1), rng.choice(["glu", "chunk", "slice"])

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.by == "glu":
            return F.glu(y, 1)
        if self.by == "chunk":
            value, gate = y.chunk(2, dim=1)
            return value * F.silu(gate)
        half = y.shape[1] // 2
        return y[:, :half] * torch.sigmoid(y[:, half:])


class UpDown(nn.Module):
    """Down by a stride and up again by a transposed convolution, pixel shuffle or interpolation; the skip joins."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        self.by, inner = rng.choice(["transposed", "grouped", "shuffle", "interpolate"]), rng.choice([8, 16])
        self.down = nn.Conv2d(channels, inner, 2, 2)
        self.up: nn.Module = nn.Identity()
        if self.by in ("transposed", "grouped"):
            self.up = nn.ConvTranspose2d(inner, out, 2, 2, groups=2 if self.by == "grouped" else 1)
        elif self.by == "shuffle":
            self.up = nn.Sequential(nn.Conv2d(inner, out * 4, 1), nn.PixelShuffle(2))
        else:
            self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inner, out, 1))
        self.skip = nn.Conv2d(channels, out, 1) if rng.random() < 0.5 else None
        self.out = out if self.skip is not None else out + channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(F.relu(self.down(x)))
        return y + self.skip(x) if self.skip is not None else torch.cat([x, y], 1)


class ChannelsLast(nn.Module):
    """ConvNeXt's block: depthwise, channels to the end, layer norm, two linear layers, layer scale, residual."""

    def __init__(self, rng: random.Random, channels: int):
        super().__init__()
        self.depth, self.norm = nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, channels * 2), nn.Linear(channels * 2, channels)
        self.gamma = nn.Parameter(torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.gamma * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


class InPlace(nn.Module):
    """Writes into what a convolution made."""

    def __init__(self, rng: random.Random, channels: int, out: int):
        super().__init__()
        self.conv, self.more, self.half = nn.Conv2d(channels, out, 1), nn.Conv2d(channels, out // 2, 1), out // 2
        self.slope = nn.Parameter(torch.rand(1, out, 1, 1))
        self.by = rng.choice(["item", "add"])

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.by == "item":
            y[:, : self.half] += self.more(x)
        else:
            y.add_(torch.cat([self.more(x), self.more(x).neg()], 1))
        return y.mul_(self.slope)


IMAGE_PIECES = [
    *[lambda r, c, s, kind=kind: (kind(r, c, w := _width(r)), w) for kind in (Plain, Grouped, Depthwise, Bottleneck)],
    *[lambda r, c, s, kind=kind: (kind(r, c, w := _width(r)), w) for kind in (Gate, InPlace)],
    *[lambda r, c, s, kind=kind: (kind(r, c), c) for kind in (Inverted, Excited, Shuffled, SplitTwo, ChannelsLast)],
    *[lambda r, c, s, kind=kind: _open(kind(r, c)) for kind in (Dense, Branches)],
    lambda r, c, s: _open(UpDown(r, c, _width(r))),
]


def _open(piece: nn.Module) -> tuple[nn.Module, int]:
    """A 1x1 convolution behind what has an uneven number of channels, so that every piece may follow."""
    width = int(piece.out)  # type: ignore[arg-type]
    if width % 8 == 0:
        return piece, width
    return nn.Sequential(piece, nn.Conv2d(width, 16, 1)), 16
