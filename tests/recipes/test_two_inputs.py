"""Models that take two tensors: their inputs (x1, x2) are not to be taken for an input and its labels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from netsmith.combining import zip_models
from netsmith.plans import Budget
from netsmith.recovery.fold_choice import fold_errors
from netsmith.searches import measure_curves


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 12), nn.Linear(4, 12)
        self.middle, self.head = nn.Linear(12, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.middle(torch.relu(self.left(x) + self.right(y)))))


@pytest.fixture
def task() -> tuple[nn.Module, list[Any]]:
    torch.manual_seed(0)
    data = [((torch.randn(16, 4), torch.randn(16, 4)), torch.randint(0, 3, (16,))) for _ in range(6)]
    return Two().eval(), data


def test_curves(task: tuple[nn.Module, list[Any]]) -> None:
    model, data = task
    curves = measure_curves(netsmith.trace(model, data[0][0]), data)
    assert {curve.axes for curve in curves.curves} == {("left.weight:0",), ("middle.weight:0",)}


def test_shrink(task: tuple[nn.Module, list[Any]]) -> None:
    model, data = task
    result = netsmith.shrink(model, data[0][0], budget=Budget(macs=0.5), data=data)
    assert result.verdict.ok and result.model(*data[0][0]).shape == (16, 3)


def test_search(task: tuple[nn.Module, list[Any]]) -> None:
    model, data = task
    study = netsmith.search(model, data[0][0], data=data, budgets=Budget(macs=0.5), trials=2, finalists=1)
    assert study.build(study.best()).model(*data[0][0]).shape == (16, 3)


def test_folding(task: tuple[nn.Module, list[Any]]) -> None:
    model, data = task
    wiring = netsmith.trace(model, data[0][0])
    errors = fold_errors(wiring, netsmith.plan_removal(wiring, keep=0.5), data)
    assert errors.keys() == {"left.weight:0", "middle.weight:0"}


def test_zipping(task: tuple[nn.Module, list[Any]]) -> None:
    model, data = task
    torch.manual_seed(1)
    zipped = zip_models([model, Two().eval()], data[0][0], data)
    assert zipped.model(*data[0][0]).shape[0] == 16
