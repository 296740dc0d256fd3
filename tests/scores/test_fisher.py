"""Second order with a diagonal Hessian."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import gradients
from netsmith.scores import Weights, fisher, taylor
from small_networks import NETWORKS, network


@pytest.mark.parametrize("name", NETWORKS)
def test_against_single_weights(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    found = gradients(wiring, [x, x.flip(0), x])
    for axis in wiring.free_axes:
        expected = torch.zeros(axis.size, dtype=torch.float64)
        for member in axis.members:
            if member.trainable:
                mean = torch.stack([each.tensors[member.tensor].double().square() for each in found]).mean(0)
                curved = wiring.tensors[member.tensor].detach().double().square() * mean / 2
                for unit, positions in enumerate(member.positions):
                    for position in positions:
                        expected[unit] += curved.select(member.dim, position).sum()
        got = fisher(axis, Weights(wiring.tensors), gradients=found)
        assert got.shape == (axis.size,) and got.dtype == torch.float32
        assert torch.allclose(got, expected.float(), rtol=1e-3, atol=1e-10)


def test_changes_that_cancel_count_nonetheless() -> None:
    """Two weights that the loss answers to in opposite ways: nothing at first order, something at second."""
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    axis = wiring.axis["0.weight:0"]
    ones = Weights({n: torch.ones_like(t) for n, t in wiring.tensors.items()})
    gradient = {n: torch.zeros_like(t) for n, t in wiring.tensors.items()}
    gradient["0.weight"][2, :2] = torch.tensor([1.0, -1.0])
    assert float(taylor(axis, ones, gradients=[Weights(gradient)]).abs().max()) == 0
    assert fisher(axis, ones, gradients=[Weights(gradient)]).tolist() == [0, 0, 1] + 13 * [0]


def test_gradients_that_are_not_there() -> None:
    wiring = netsmith.trace(*network("mlp"))
    with pytest.raises(EvidenceError, match=r"no gradient of 0\.weight, 0\.bias, 2\.weight"):
        fisher(wiring.axis["0.weight:0"], Weights(wiring.tensors), gradients=[Weights({})])
