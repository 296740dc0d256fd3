"""Small networks with one difficulty each. Every one gives a small float output from the input it names."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Network(nn.Module):
    """``shape`` is the input's; ``free`` whether at least one axis can be pruned."""

    shape: tuple[int, ...] = (2, 16)
    free: bool = True

    def example(self) -> torch.Tensor:
        return torch.randn(*self.shape, generator=torch.Generator().manual_seed(1))


class TwoLayers(Network):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(16, 32)
        self.b = nn.Linear(32, 4)

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.between(self.a(x)))


class SharedLayer(Network):
    """One layer runs twice, so what it makes is also what it eats."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.a, self.b = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(self.a(self.i(x)).relu()))


class TiedWeights(Network):
    """One parameter under two names, used upright and transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Linear(16, 32, bias=False)
        self.w = self.e.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.e(x).relu(), self.w.t())


class InPlaceWrite(Network):
    """A write into a part of an axis, at a position written in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c, self.b = nn.Linear(16, 32), nn.Linear(16, 16), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        y[:, :16] += self.c(x)
        y.relu_()
        return self.b(y)


class FilledBuffer(Network):
    """Concatenation by hand, with sizes read from the parts."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c, self.b = nn.Linear(16, 32), nn.Linear(16, 8), nn.Linear(40, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p, q = self.a(x), self.c(x)
        n = p.shape[1]
        y = x.new_zeros(x.shape[0], n + q.shape[1])
        y[:, :n] = p
        y[:, n:] = q
        return self.b(y)


class FilledLiterally(FilledBuffer):
    """The same with sizes written in the code."""

    free = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.new_empty(x.shape[0], 40)
        y[:, :32] = self.a(x)
        y[:, 32:] = self.c(x)
        return self.b(y)


class Lambda(TwoLayers):
    """A closure over the model itself."""

    free = False

    def __init__(self) -> None:
        super().__init__()
        self.f = lambda x: self.a(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.f(x).relu())


class DividedByCast(TwoLayers):
    """int() and / lose where a size came from."""

    def __init__(self) -> None:
        super().__init__()
        self.h = 4

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.view(-1, self.h, int(y.shape[-1] / self.h)).softmax(1).flatten(1)


class HeadsByAttribute(TwoLayers):
    def __init__(self) -> None:
        super().__init__()
        self.h = 4

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.view(-1, self.h, y.shape[-1] // self.h).softmax(1).flatten(1)


class HardCoded(TwoLayers):
    free = False

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.view(-1, 4, 8).softmax(1).view(-1, 32)


class GatedRecurrent(Network):
    shape = (2, 5, 16)

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.GRU(16, 32, 2, batch_first=True, bidirectional=True)
        self.b = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.e(x)[0][:, -1])


class Encoder(Network):
    shape = (2, 5, 16)

    def __init__(self) -> None:
        super().__init__()
        self.i = nn.Linear(16, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.e = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.b = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.e(self.i(x)))


class Seq2Seq(Network):
    shape = (2, 5, 16)

    def __init__(self) -> None:
        super().__init__()
        self.i = nn.Linear(16, 32)
        self.e = nn.Transformer(32, 4, 1, 1, 64, batch_first=True)
        self.b = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.i(x)
        return self.b(self.e(y, y, tgt_mask=nn.Transformer.generate_square_subsequent_mask(5)))


class UNet(Network):
    """Skip by concatenation, transposed convolution, pixel shuffle there and back, group norm."""

    shape = (2, 3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, 2, 1)
        self.u, self.c = nn.ConvTranspose2d(32, 16, 2, 2), nn.Conv2d(32, 3, 1)
        self.g, self.ps = nn.GroupNorm(4, 16), nn.Conv2d(32, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.g(self.a(x))
        z = self.b(y)
        z = z + F.interpolate(F.pixel_shuffle(F.pixel_unshuffle(self.ps(z), 2), 2), scale_factor=1.0)
        return self.c(torch.cat([y, self.u(z)], 1))


class Autocast(TwoLayers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.a(x)
        return self.b(y.float())


class VectorMapped(TwoLayers):
    """vmap wraps every tensor; what comes out of it is not recognized, so nothing may change."""

    free = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.func.vmap(lambda v: self.b(self.a(v).relu()))(x)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.sigmoid() * x

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g


class CustomFunction(TwoLayers):
    def between(self, y: torch.Tensor) -> torch.Tensor:
        return Swish.apply(y)


class LooksAtValues(TwoLayers):
    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y * 2 if y.sum().item() > 0 else y


class ThroughNumpy(TwoLayers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        return self.b(y) * torch.from_numpy(y.detach().numpy()).mean()


class Parametrized(Network):
    """weight_norm and spectral_norm as parametrizations."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.utils.parametrizations.weight_norm(nn.Linear(16, 32))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Linear(32, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class WeightStandardized(Network):
    """Filters normalized in forward, with the function of batch normalization (NFNet, BiT)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 32), nn.Linear(32, 32)
        self.c, self.gain = nn.Linear(32, 4), nn.Parameter(torch.rand(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = F.batch_norm(self.b.weight.reshape(1, len(self.gain), -1), None, None, self.gain, training=True)
        return self.c(F.linear(self.a(x).relu(), weight.reshape_as(self.b.weight), self.b.bias))


class OldWeightNorm(TwoLayers):
    """The hook form of weight_norm: a plain attribute that every forward computes again."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.a = nn.utils.weight_norm(nn.Linear(16, 32))
        with torch.no_grad():
            self.a(torch.zeros(1, 16))  # its weight is a leaf now: before, torch itself cannot copy the model


class Scripted(TwoLayers):
    """Nothing can be seen of what runs inside TorchScript."""

    free = False

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.a = torch.jit.script(nn.Linear(16, 32))


@functools.lru_cache
def table(n: int) -> torch.Tensor:
    return torch.ones(n)


class CachedTable(TwoLayers):
    """An lru_cache that would remember a fake tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 32

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y * table(self.n)


class Checkpointed(TwoLayers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(torch.utils.checkpoint.checkpoint(self.a, x, use_reentrant=False))


class Experts(Network):
    """A mixture of experts: which rows go where depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.r = nn.Linear(16, 4)
        self.a = nn.ModuleList(nn.Linear(16, 32) for _ in range(4))
        self.b = nn.ModuleList(nn.Linear(32, 16) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w, chosen = self.r(x).softmax(-1).topk(2)
        y = torch.zeros_like(x)
        for e in range(4):
            rows, k = torch.where(chosen == e)
            y.index_add_(0, rows, self.b[e](self.a[e](x[rows]).relu()) * w[rows, k, None])
        return y


class Einsum(Network):
    shape = (2, 5, 16)

    def __init__(self) -> None:
        super().__init__()
        self.w, self.o = nn.Parameter(torch.randn(16, 4, 8)), nn.Parameter(torch.randn(4, 8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = torch.einsum("btc,chd->bthd", x, self.w)
        return torch.einsum("...hd,hdo->...o", q, self.o)


class CutAndReordered(Network):
    free = False  # the cuts are written in the code

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 30), nn.Linear(30, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p, q, r = self.a(x).split([10, 12, 8], -1)
        return self.b(torch.cat([r, p * 2, q], -1))


class PermutedView(TwoLayers):
    """Sizes written in the code on the way through a permutation."""

    free = False

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.view(-1, 8, 4).transpose(1, 2).reshape(-1, 32) + y


class TransposedSum(TwoLayers):
    """y + P y, sizes from attributes: units of a product meet those of the transposed product."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 4

    def between(self, y: torch.Tensor) -> torch.Tensor:
        cols = y.shape[-1] // self.rows
        return y.view(-1, self.rows, cols).transpose(1, 2).reshape(-1, self.rows * cols) + y


class Flipped(TwoLayers):
    free = False

    def between(self, y: torch.Tensor) -> torch.Tensor:
        return y.flip(-1)


class GroupedConvolution(Network):
    shape = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 32, 3, padding=1)
        self.g = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.d = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.b = nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.d(self.g(self.a(x)).relu()))


class ChannelShuffle(Network):
    """ShuffleNet's unit: grouped 1x1, shuffle, grouped 1x1."""

    shape = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.groups = 4
        self.a = nn.Conv2d(3, 32, 3, padding=1)
        self.p = nn.Conv2d(32, 32, 1, groups=4)
        self.q = nn.Conv2d(32, 32, 1, groups=4)
        self.b = nn.Conv2d(32, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.p(self.a(x))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.b(self.q(y).relu())


class Residual(Network):
    shape = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.n1 = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.inner, self.n2 = nn.Conv2d(16, 24, 3, padding=1), nn.BatchNorm2d(24)
        self.outer, self.head = nn.Conv2d(24, 16, 3, padding=1), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.n1(self.stem(x)).relu()
        y = y + self.outer(self.n2(self.inner(y)).relu())
        return self.head(y.mean((2, 3)))


class DenseBlock(Network):
    """Each layer reads the concatenation of all before it."""

    shape = (2, 3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(n, 8, 3, padding=1) for n in (3, 11, 19))
        self.norm, self.head = nn.BatchNorm2d(27), nn.Linear(27, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], 1)
        return self.head(self.norm(x).amax((2, 3)))


NETWORKS: dict[str, Callable[[], Network]] = {
    c.__name__: c
    for c in list(globals().values())
    if isinstance(c, type) and issubclass(c, Network) and c is not Network
}
