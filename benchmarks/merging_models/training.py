"""Small networks on digits, trained from a seed."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Net = Callable[[], nn.Module]


def mlp(width: int = 512) -> nn.Module:
    """Three hidden layers."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, width), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def trained(model: nn.Module, seed: int, x: Tensor, y: Tensor, epochs: int, lr: float = 1e-3) -> nn.Module:
    """A copy of the model after some epochs of Adam."""
    model = copy.deepcopy(model).train()
    generator = torch.Generator().manual_seed(seed)
    descent = torch.optim.Adam(model.parameters(), lr)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(128):
            loss = cross_entropy(model(x[chosen]), y[chosen])
            descent.zero_grad()
            loss.backward()
            descent.step()
    return model.eval()


def seeded(make: Net, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return make()


@torch.no_grad()
def judged(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """(cross-entropy, accuracy)."""
    scores = torch.cat([model(part) for part in x.split(250)])
    return float(cross_entropy(scores, y)), float((scores.argmax(1) == y).float().mean())


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return judged(model, x, y)[1]
