"""Pieces of random networks for sequences: (batch, tokens, width) in and out, the tokens unchanged."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _width(rng: random.Random) -> int:
    return rng.choice([8, 12, 16, 24])


class RMSNorm(nn.Module):
    """As language models spell it, without a fused function."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def _normalization(rng: random.Random, width: int) -> nn.Module:
    return rng.choice([lambda: nn.LayerNorm(width), lambda: RMSNorm(width), nn.Identity])()


class Packed(nn.Module):
    """Attention with q, k, v packed in one linear layer, in one of several orders."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.num_heads, self.head_dim = rng.choice([2, 4]), rng.choice([4, 6])
        inner = self.num_heads * self.head_dim
        self.order = rng.choice(["three first", "heads first", "chunk", "split"])
        self.by_hand, self.scale = rng.random() < 0.5, self.head_dim**-0.5
        self.norm, self.inner = _normalization(rng, width), inner
        self.qkv, self.proj = nn.Linear(width, inner * 3, bias=rng.random() < 0.5), nn.Linear(inner, width)
        self.gamma = nn.Parameter(torch.rand(width)) if rng.random() < 0.4 else None

    def heads(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        return x.view(b, n, self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        y = self.qkv(self.norm(x))
        if self.order == "three first":
            q, k, v = y.reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        elif self.order == "heads first":
            q, k, v = y.view(b, n, self.num_heads, 3, self.head_dim).permute(3, 0, 2, 1, 4)
        elif self.order == "chunk":
            q, k, v = (self.heads(t) for t in y.chunk(3, dim=-1))
        else:
            q, k, v = (self.heads(t) for t in y.split(self.inner, -1))
        if self.by_hand:
            y = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        y = self.proj(y.transpose(1, 2).reshape(b, n, -1))
        return x + (y if self.gamma is None else self.gamma * y)


class GroupedQueries(nn.Module):
    """Fewer key and value heads than queries; shared by repeat_interleave, by expand or inside the kernel."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.kv_heads, self.repeats, self.head_dim = rng.choice([1, 2]), rng.choice([2, 3]), rng.choice([4, 6])
        self.num_heads = self.kv_heads * self.repeats
        self.by = rng.choice(["repeat_interleave", "expand", "enable_gqa"])
        self.q = nn.Linear(width, self.num_heads * self.head_dim)
        self.k, self.v = (nn.Linear(width, self.kv_heads * self.head_dim) for _ in range(2))
        self.o, self.norm = nn.Linear(self.num_heads * self.head_dim, width), _normalization(rng, width)

    def shared(self, t: Tensor) -> Tensor:
        if self.by == "repeat_interleave":
            return t.repeat_interleave(self.repeats, dim=1)
        b, h, n, d = t.shape
        return t[:, :, None].expand(b, h, self.repeats, n, d).reshape(b, h * self.repeats, n, d)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        shape = (*x.shape[:-1], -1, self.head_dim)
        q, k, v = (layer(y).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.by == "enable_gqa":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            y = F.scaled_dot_product_attention(q, self.shared(k), self.shared(v), is_causal=True)
        return x + self.o(y.transpose(1, 2).reshape(*x.shape[:-1], -1).contiguous())


class Multihead(nn.Module):
    """nn.MultiheadAttention."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, rng.choice([2, 4]), batch_first=True)
        self.norm = _normalization(rng, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.attention(y, y, y, need_weights=False)[0]


class Einsum(nn.Module):
    """Attention or a plain map with parameters of its own, all by einsum."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        heads, dim = rng.choice([2, 4]), rng.choice([4, 6])
        self.q, self.k, self.v = (nn.Parameter(torch.randn(width, heads, dim) * 0.3) for _ in range(3))
        self.o = nn.Parameter(torch.randn(heads, dim, width) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("btc,chd->bhtd", x, w) for w in (self.q, self.k, self.v))
        weights = torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
        return x + torch.einsum("...hqk,...hkd,hdc->...qc", weights, v, self.o)


class FeedForward(nn.Module):
    """Two linear layers, plain or gated; packed gates by chunk, glu or slices."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.inner, self.by = rng.choice([12, 16, 24]), rng.choice(["plain", "two", "chunk", "glu", "slice", "literal"])
        self.norm, packed = _normalization(rng, width), self.by not in ("plain", "two")
        self.up = nn.Linear(width, self.inner * (2 if packed else 1))
        self.gate = nn.Linear(width, self.inner) if self.by == "two" else None
        self.down = nn.Linear(self.inner, width)
        self.residual = rng.random() < 0.8

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        y = self.up(normed)
        if self.gate is not None:
            y = F.silu(self.gate(normed)) * y
        elif self.by == "chunk":
            a, b = y.chunk(2, -1)
            y = F.gelu(a) * b
        elif self.by == "glu":
            y = F.glu(y)
        elif self.by == "slice":
            y = y[..., : self.inner] * y[..., self.inner :].tanh()
        elif self.by == "literal":
            y = F.relu(y.unflatten(-1, (2, self.inner))[:, :, 0]) if self.inner == 12 else y[..., ::2] * y[..., 1::2]
        else:
            y = F.relu(y)
        return x + self.down(y) if self.residual else self.down(y)


class Mixer(nn.Module):
    """Mixes the tokens, then the channels; the tokens may be pruned inside."""

    def __init__(self, rng: random.Random, width: int, tokens: int):
        super().__init__()
        inner = rng.choice([6, 8, 10])
        self.norm, self.first, self.second = (
            _normalization(rng, width),
            nn.Linear(tokens, inner),
            nn.Linear(inner, tokens),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x).transpose(1, 2)))).transpose(1, 2)


class Recurrent(nn.Module):
    """LSTM or GRU, one or two layers, one or both ways, with or without a learned start."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        hidden, layers, both = rng.choice([6, 8]), rng.choice([1, 1, 2]), rng.random() < 0.3
        kind = rng.choice([nn.LSTM, nn.GRU])
        self.cell = kind(width, hidden, layers, batch_first=True, bidirectional=both)
        start = kind is nn.GRU and rng.random() < 0.4
        self.start = nn.Parameter(torch.randn(layers * (1 + both), 1, hidden)) if start else None
        self.last = not both and rng.random() < 0.4
        self.proj = nn.Linear(hidden * (1 + both), width)

    def forward(self, x: Tensor) -> Tensor:
        if self.start is None:
            y, states = self.cell(x)
        else:
            y, states = self.cell(x, self.start.expand(-1, x.shape[0], -1).contiguous())
        if self.last:
            state = states[0] if isinstance(states, tuple) else states
            y = y + state[-1].unsqueeze(1)
        return x + self.proj(y)


class OneDimensional(nn.Module):
    """Convolutions along the tokens, grouped or depthwise, with a parameter used in forward."""

    def __init__(self, rng: random.Random, width: int, out: int):
        super().__init__()
        self.conv = nn.Conv1d(width, out, 3, padding=1, groups=rng.choice([1, 2, 4]))
        self.depth, self.norm = nn.Conv1d(out, out, 3, padding=1, groups=out), nn.BatchNorm1d(out)
        self.weight, self.bias = nn.Parameter(torch.randn(out, out) * 0.3), nn.Parameter(torch.randn(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(F.relu(self.conv(x.permute(0, 2, 1))))).permute(0, 2, 1)
        return y @ self.weight + self.bias


class Token(nn.Module):
    """A learned token in front, looked at by the others, then left off again."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.mix = Packed(rng, width) if rng.random() < 0.5 else Multihead(rng, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mix(torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1))
        return y[:, 1:] + y[:, :1]


class Stacked(nn.Module):
    """Experts in one parameter each; every token goes through all, weighed by a router."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        experts, inner = 3, rng.choice([8, 12])
        self.router = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.randn(experts, width, inner) * 0.3)
        self.down = nn.Parameter(torch.randn(experts, inner, width) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        flat = x.reshape(-1, c)
        y = torch.bmm(F.silu(torch.matmul(flat, self.up)), self.down)
        weights = self.router(flat).softmax(-1).t().unsqueeze(-1)
        return x + (y * weights).sum(0).view(b, n, c)


class TiedPair(nn.Module):
    """A matrix used upright and transposed, and one layer that runs twice."""

    def __init__(self, rng: random.Random, width: int):
        super().__init__()
        self.up, self.twice = nn.Linear(width, rng.choice([12, 20]), bias=False), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(F.relu(self.up(x)), self.up.weight.t())
        return self.twice(F.relu(self.twice(x + y)))


SEQUENCE_PIECES = [
    *[lambda r, w, n, kind=kind: (kind(r, w), w) for kind in (Packed, Packed, GroupedQueries, Multihead, Einsum)],
    *[lambda r, w, n, kind=kind: (kind(r, w), w) for kind in (FeedForward, FeedForward, Recurrent, Token, Stacked)],
    lambda r, w, n: (TiedPair(r, w), w),
    lambda r, w, n: (Mixer(r, w, n), w),
    lambda r, w, n: (OneDimensional(r, w, o := _width(r)), o),
]
