"""Folding: equal units fold without loss, and the structure is that of removal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import netsmith
from netsmith.errors import UnknownNameError
from netsmith.evidence import divergence
from netsmith.recovery import choose_folds, compensate, fold
from netsmith.recovery.folding import clusters

DATA = [torch.randn(32, 3, 6, 6, generator=torch.Generator().manual_seed(i)) for i in range(4)]


class Net(nn.Module):
    """Two convolutions, a depthwise one between them, and a classifier that reads a flattened image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.deep, self.two = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.two(self.deep(self.norm(self.one(x)).relu()).relu()).flatten(1))


def doubled() -> Net:
    """Each unit of both axes is there twice, side by side."""
    model = Net().eval()
    with torch.no_grad():
        model.norm.running_var.uniform_(0.5, 2)
        for layer in (model.one, model.norm, model.deep, model.two):
            for tensor in layer.state_dict().values():
                if tensor.dim():
                    tensor[1::2] = tensor[::2]
    return model


def test_equal_units_fold_without_loss() -> None:
    model = doubled()
    wiring = netsmith.trace(model, DATA[0][:1])
    plan = netsmith.plan_removal(wiring, keep=0.5, score=lambda axis, weights: torch.arange(axis.size) % 2)
    assert [edit.keep for edit in plan.resizes] == [(1, 3, 5, 7), (1, 3)]
    assert {name: into.tolist() for name, into in clusters(wiring, plan).into.items()} == {
        "one.weight:0": [0, 0, 1, 1, 2, 2, 3, 3],
        "two.weight:0": [0, 0, 1, 1],
    }
    done = fold(wiring, plan)
    with torch.no_grad():
        torch.testing.assert_close(done.model(DATA[0]), model(DATA[0]), rtol=1e-5, atol=1e-5)
    assert netsmith.verify(model, done.model, done.plan, DATA[0][:2]).ok
    assert {"two.weight", "fc.weight", "norm.running_var"} <= done.plan.refitted
    both = compensate(wiring, plan, DATA, fold=True)
    with torch.no_grad():
        assert float(divergence(model(DATA[0]), both.model(DATA[0]))) < 1e-5
    assert netsmith.verify(model, both.model, both.plan, DATA[0][:2]).ok


def test_only_the_axes_that_are_named() -> None:
    model = doubled()
    wiring = netsmith.trace(model, DATA[0][:1])
    plan = netsmith.plan_removal(wiring, keep=0.5)
    plain = netsmith.apply(model, plan)
    done = fold(wiring, plan, axes=["two.weight:0"])
    assert torch.equal(done.model.one.weight, plain.one.weight)
    assert not torch.equal(done.model.fc.weight, plain.fc.weight)
    assert fold(wiring, plan, axes=[]).plan == plan
    with pytest.raises(UnknownNameError, match="the plan does not change axis 'three'"):
        fold(wiring, plan, axes=["three"])


def test_units_that_nothing_else_resembles_are_better_removed() -> None:
    model = Net().eval()
    wiring = netsmith.trace(model, DATA[0][:1])
    plan = netsmith.plan_removal(wiring, keep=0.75)
    chosen = choose_folds(wiring, plan, DATA)
    assert set(chosen) <= set(plan.keep())
    done = compensate(wiring, plan, DATA, fold=chosen)
    assert netsmith.verify(model, done.model, done.plan, DATA[0][:2]).ok
