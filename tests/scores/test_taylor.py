"""First order, against a finite difference and against a sum over single weights."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import gradients
from netsmith.scores import Weights, taylor
from small_networks import NETWORKS, network


@pytest.mark.parametrize("name", NETWORKS)
def test_against_single_weights(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    found = gradients(wiring, [x, x.flip(0)])
    for axis in wiring.free_axes:
        changes = torch.zeros(2, axis.size, dtype=torch.float64)
        for b, each in enumerate(found):
            for member in axis.members:
                if member.trainable:
                    product = (wiring.tensors[member.tensor].detach() * each.tensors[member.tensor]).double()
                    for unit, positions in enumerate(member.positions):
                        for position in positions:
                            changes[b, unit] += product.select(member.dim, position).sum()
        got = taylor(axis, Weights(wiring.tensors), gradients=found)
        assert got.shape == (axis.size,) and got.dtype == torch.float32
        assert torch.allclose(got, changes.square().mean(0).float(), rtol=1e-3, atol=1e-8)


def test_it_is_the_change_of_the_loss_when_a_unit_shrinks() -> None:
    """By a thousandth, all weights of one unit at once."""
    model, _ = network("mlp")
    model = model.double()
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 6, generator=generator).double(), torch.randint(0, 3, (16,), generator=generator)
    wiring = netsmith.trace(model, x)
    axis = wiring.axis["0.weight:0"]
    got = taylor(axis, Weights(wiring.tensors), gradients=gradients(wiring, [(x, y)], F.cross_entropy))
    step = 1e-5
    with torch.no_grad():
        before = F.cross_entropy(model(x), y)
        for unit in range(axis.size):
            parts = [model[0].weight[unit], model[0].bias[unit : unit + 1], model[2].weight[:, unit]]
            kept = [part.clone() for part in parts]
            for part in parts:
                part.mul_(1 - step)
            change = float((before - F.cross_entropy(model(x), y)) / step)
            for part, old in zip(parts, kept, strict=True):
                part.copy_(old)
            assert float(got[unit]) == pytest.approx(change**2, rel=0.02, abs=1e-9)


def test_dead_units_go_first() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[0].weight[3:5] = 0
        model[0].bias[3:5] = -1  # the rectifier lets nothing through, and no gradient back
        model[2].weight[:, 3:5] = 100
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.875, score=partial(taylor, gradients=gradients(wiring, [x])))
    assert not {3, 4} & set(plan.keep()["0.weight:0"])


def test_gradients_that_are_not_there() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    axis, weights, found = wiring.axis["0.weight:0"], Weights(wiring.tensors), gradients(wiring, [x])
    with pytest.raises(EvidenceError, match=r"gradients is empty; give netsmith\.evidence\.gradients\(wiring, data\)"):
        taylor(axis, weights, gradients=[])
    less = Weights({n: t for n, t in found[0].tensors.items() if n not in ("0.bias", "2.weight")})
    with pytest.raises(EvidenceError, match=r"no gradient of 0\.bias, 2\.weight, on axis '0\.weight:0'; gather them"):
        taylor(axis, weights, gradients=[found[0], less])
    other = Weights({**found[0].tensors, "0.bias": torch.ones(7)})
    with pytest.raises(
        EvidenceError, match=r"the gradient of 0\.bias has shape \(7,\), the weight \(16,\): it is of an"
    ):
        taylor(axis, weights, gradients=[other])
    with pytest.raises(EvidenceError, match=r"no gradient of stem\.weight, norm\.weight"):
        netsmith.plan_removal(netsmith.trace(*network("residual")), keep=0.5, score=partial(taylor, gradients=found))
