"""Whether forward keeps something in its modules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from small_networks import network


class Keeping(nn.Module):
    def __init__(self, keep: Callable[[Any, torch.Tensor], Any]):
        super().__init__()
        self.layer, self.keep = nn.Linear(4, 4), keep
        self.list: list[torch.Tensor] = []
        self.dict: dict[str, torch.Tensor] = {"x": torch.zeros(1)}
        self.deque = deque([torch.zeros(1)], maxlen=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.keep(self, x)
        return self.layer(x)


@pytest.mark.parametrize(
    ("keep", "keeps"),
    [
        (lambda module, x: setattr(module, "saved", x), True),
        (lambda module, x: module.list.append(x), True),
        (lambda module, x: module.dict.update(x=x), True),
        (lambda module, x: module.deque.append(x), True),
        (lambda module, x: setattr(module.layer, "saved", x), True),
        (lambda module, x: x + 1, False),
        (lambda module, x: setattr(module, "list", module.list), False),
    ],
)
def test_what_is_kept_is_seen(keep: Callable[[Any, torch.Tensor], Any], keeps: bool) -> None:
    assert netsmith.trace(Keeping(keep), torch.randn(2, 4)).keeps == keeps


@pytest.mark.parametrize("name", ["mlp", "residual"])
def test_ordinary_networks_keep_nothing(name: str) -> None:
    model, x = network(name)
    assert not netsmith.trace(model, x).keeps
