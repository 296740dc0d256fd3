"""Zeros whose loss other weights take over."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import InputError, PlanError
from netsmith.evidence import activations
from netsmith.plans import plan_sparsity
from netsmith.plans.sparsity import zeros_of
from netsmith.recovery import sparsify
from netsmith.surgery.zeros import count_zeros
from small_networks import network


def correlated(x: torch.Tensor) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    shape = (256, *x.shape[1:])
    return torch.randn((256, 1, *shape[2:]), generator=g) + 0.3 * torch.randn(shape, generator=g)


@pytest.mark.parametrize("name", ["mlp", "residual", "concatenated", "attention"])
def test_layers_change_less_than_with_the_zeros_alone(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    data = [torch.randn(64, *x.shape[1:])] if name == "attention" else [correlated(x)]
    plan = plan_sparsity(wiring, share=0.5, scope="layer")
    plain, done = netsmith.apply(model, plan), sparsify(wiring, data, plan=plan)
    assert done.plan.edits == plan.edits and done.plan.refitted == {e.tensor for e in plan.sparsities}
    reference = model(data[0])
    if name in ("residual", "concatenated"):  # layers do not know of each other: the outputs follow as a rule only
        assert (done.model(data[0]) - reference).square().mean() < (plain(data[0]) - reference).square().mean()
    assert all(after <= alone * 1.001 for alone, after in done.errors.values())
    assert netsmith.verify(model, done.model, done.plan, x).ok


def test_chosen_on_the_way() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    seen = activations(wiring, [correlated(x)])
    half = sparsify(wiring, seen, share=0.5)
    zeros, weights = count_zeros(half.model)
    assert abs(zeros / weights - 0.5) < 0.01 and netsmith.verify(model, half.model, half.plan, x).ok
    done = sparsify(wiring, seen, pattern="2:4", ignore=["fc"])
    assert done.plan.left == {"stem.weight": "has 3 inputs, which is no multiple of 4"}
    assert [e.tensor for e in done.plan.sparsities] == ["conv1.weight", "conv2.weight"]
    for edit in done.plan.sparsities:
        zeros = zeros_of(edit).movedim(1, -1).unflatten(-1, (-1, 4)).sum(-1)
        assert (zeros == 2).all() and not done.model.get_parameter(edit.tensor)[zeros_of(edit)].any()


def test_the_error_is_that_of_the_layer() -> None:
    model, x = network("mlp")
    data = [correlated(x)]
    done = sparsify(netsmith.trace(model, x), data, share=0.5)
    with torch.no_grad():
        whole = (data[0] @ model[0].weight.T).square().sum()
        change = (data[0] @ (done.model[0].weight - model[0].weight).T).square().sum()
    assert abs(float(change / whole) - done.errors["0.weight"][1]) < 1e-4


def test_bad_input() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    with pytest.raises(InputError, match="give one of share=0.5, pattern='2:4' and plan"):
        sparsify(wiring, [x])
    with pytest.raises(InputError, match="share=2 must be"):
        sparsify(wiring, [x], share=2)
    with pytest.raises(InputError, match="damping=-1"):
        sparsify(wiring, [x], share=0.5, damping=-1)
    with pytest.raises(PlanError, match="takes a plan of plan_sparsity"):
        sparsify(wiring, [x], plan=netsmith.plan_removal(wiring, keep=0.5))
    other, _ = network("mlp")
    with torch.no_grad():
        other[0].weight.add_(1)
    with pytest.raises(InputError, match="of another model"):
        sparsify(wiring, activations(netsmith.trace(other, x), [x]), share=0.5)
