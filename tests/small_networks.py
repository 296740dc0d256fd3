"""Small networks that the tests of several rooms use, each with another way of laying axes in tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netsmith.plans import Plan
from netsmith.plans.widths import plan_for, proven_sizing
from netsmith.wiring import Wiring


class Residual(nn.Module):
    """Convolutions, batch normalizations and a residual sum. Axes: stem.weight:0 (8) and conv1.weight:0 (12)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv1, self.bn1 = nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


class Concatenated(nn.Module):
    """Two branches laid end to end, then a grouped and a depthwise convolution, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 4, 1)
        self.mix = nn.Conv2d(10, 8, 1)
        self.grouped = nn.Conv2d(8, 12, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.fc = nn.Linear(12 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(torch.cat([self.left(x), self.right(x)], 1))
        x = F.relu(self.depthwise(self.grouped(self.mix(x))))
        return self.fc(x.flatten(1))


class Attention(nn.Module):
    """Packed q, k, v with 4 heads of width 4 and a layer normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(6, 12), nn.LayerNorm(12)
        self.num_heads, self.head_dim = 4, 4
        self.qkv, self.proj = nn.Linear(12, 48), nn.Linear(16, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        b, n, _ = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(*qkv.unbind(0)).transpose(1, 2).reshape(b, n, -1)
        return self.head((x + self.proj(out)).mean(1))


class Tied(nn.Module):
    """An encoder whose weight is also the decoder's, transposed, and an output layer tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.encoder = nn.Linear(8, 10)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        return self.head(x + F.relu(self.encoder(x)) @ self.encoder.weight)


class Recurrent(nn.Module):
    """Two LSTM layers between linear ones."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Linear(4, 6), nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(F.relu(self.embed(x)))[0])


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (mlp, lambda: torch.randn(4, 6)),
    "residual": (Residual, lambda: torch.randn(2, 3, 6, 6)),
    "concatenated": (Concatenated, lambda: torch.randn(2, 3, 4, 4)),
    "attention": (Attention, lambda: torch.randn(2, 5, 6)),
    "tied": (Tied, lambda: torch.randint(0, 20, (2, 7))),
    "recurrent": (Recurrent, lambda: torch.randn(2, 5, 4)),
}


def network(name: str) -> tuple[nn.Module, Tensor]:
    """A network whose every tensor is random (running statistics too), in eval mode, and inputs for it."""
    torch.manual_seed(0)
    build, inputs = NETWORKS[name]
    model = build().eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.dim() == 1:
                noise = torch.randn_like(tensor)
                tensor.copy_(0.5 + noise.abs() if "var" in key else tensor + 0.2 * noise)
    return model, inputs()


def plan_keeping(wiring: Wiring, units: dict[str, tuple[int, ...]]) -> Plan:
    """The plan that keeps exactly these units of these axes."""
    sizing, given_up = proven_sizing(wiring, {axis: len(kept) for axis, kept in units.items()})
    assert not given_up
    return plan_for(wiring, sizing, units)
