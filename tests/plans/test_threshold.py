"""Units that are zero go, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import InputError
from netsmith.plans import plan_threshold
from netsmith.surgery import apply

X = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(0))
AXIS = "0.weight:0"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def test_nothing_dead_nothing_planned_and_a_unit_always_stays() -> None:
    model = network()
    assert plan_threshold(netsmith.trace(model, X[:2]), threshold=0.0).edits == ()
    with torch.no_grad():
        for p in (model[0].weight, model[0].bias, model[1].weight, model[1].bias):
            p.zero_()
        model[3].weight.zero_()
    plan = plan_threshold(netsmith.trace(model, X[:2]), threshold=0.0)
    assert len(plan.keep()[AXIS]) == 1
    assert torch.allclose(apply(model, plan).eval()(X), model.eval()(X), atol=1e-6)


def test_dead_units_stay_where_a_width_is_rounded() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[:3] = 0
        model[0].bias[:3] = 0
        model[1].weight[:3] = 0
        model[1].bias[:3] = 0
        model[3].weight[:, :3] = 0
    wiring = netsmith.trace(model, X[:2])
    assert len(plan_threshold(wiring, threshold=0.0).keep()[AXIS]) == 5
    assert len(plan_threshold(wiring, threshold=0.0, round_to=2).keep()[AXIS]) == 6
    assert plan_threshold(wiring, threshold=0.0, round_to=8).edits == ()
    assert plan_threshold(wiring, threshold=0.0, ignore=["0"]).edits == ()


def test_bad_input() -> None:
    with pytest.raises(InputError, match="threshold=1 is a share of an axis's highest score"):
        plan_threshold(netsmith.trace(network(), X[:2]), threshold=1)
