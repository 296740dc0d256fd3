"""Units that do nothing are removed exactly."""

from __future__ import annotations

import torch
from torch import nn

import netsmith
from netsmith.plans import plan_dead, plan_sparsity
from small_networks import network


def sizes(plan) -> dict[str, tuple[int, int]]:
    return {e.axis: (e.size, len(e.keep)) for e in plan.resizes}


def test_units_that_nothing_reads_and_units_made_of_nothing() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[2].weight[:, 3] = 0  # unit 3 of the first layer is read by nothing
        model[0].weight[7] = 0  # unit 7 is made of nothing
        model[0].bias[7] = 0
        model[0].weight[9] = 0  # unit 9 is a constant
    plan = plan_dead(netsmith.trace(model, x))
    assert sizes(plan) == {"0.weight:0": (16, 14)} and {3, 7}.isdisjoint(plan.resizes[0].keep)
    small = netsmith.apply(model, plan)
    more = torch.randn(64, 6)
    assert torch.allclose(small(more), model(more), atol=1e-6)
    assert netsmith.verify(model, small, plan, x).ok


def test_a_constant_that_is_not_zero_stays() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2))
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0  # sigmoid(0) is one half
    plan = plan_dead(netsmith.trace(model, torch.randn(2, 3)))
    assert not plan.edits and "an output depends on them" in plan.left["0.weight:0"]


def test_through_a_batch_normalization() -> None:
    model, x = network("residual")
    with torch.no_grad():
        model.conv2.weight[:, 5] = 0
        model.conv1.weight[2], model.bn1.weight[2], model.bn1.bias[2] = 0, 0, 0
        model.conv1.weight[4] = 0  # its normalization still shifts it
    plan = plan_dead(netsmith.trace(model, x))
    assert sizes(plan) == {"conv1.weight:0": (12, 10)}
    assert torch.allclose(netsmith.apply(model, plan)(x), model(x), atol=1e-6)


def test_the_axis_of_a_layer_norm_stays() -> None:
    model, x = network("attention")
    with torch.no_grad():
        for parameter in (model.qkv.weight, model.head.weight):
            parameter[:, 2] = 0
    assert not plan_dead(netsmith.trace(model, x)).edits


def test_never_all_units() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[2].weight.zero_()
    plan = plan_dead(netsmith.trace(model, x))
    assert sizes(plan)["0.weight:0"] == (16, 1)
    assert netsmith.apply(model, plan)(x).equal(model(x))


def test_after_sparsity_and_nothing_where_all_live() -> None:
    model, x = network("mlp")
    assert not plan_dead(netsmith.trace(model, x)).edits
    first = plan_sparsity(netsmith.trace(model, x), share=0.95)
    sparse = netsmith.apply(model, first)
    dead = plan_dead(netsmith.trace(sparse, x))
    assert dead.edits
    plan, small = dead.after(first), netsmith.apply(sparse, dead)
    assert netsmith.verify(model, small, plan, x).ok and torch.allclose(small(x), sparse(x), atol=1e-6)
