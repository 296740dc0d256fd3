"""Magnitude against a sum over single weights, in every layout."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import InputError
from netsmith.scores import Weights, magnitude
from netsmith.wiring import Wiring
from small_networks import NETWORKS, network


@cache
def wired(name: str) -> Wiring:
    return netsmith.trace(*network(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_against_brute_force(name: str) -> None:
    """Every weight on its own: its square goes to the unit that its position belongs to."""
    wiring = wired(name)
    for axis in wiring.free_axes:
        squares = [0.0] * axis.size
        for member in axis.members:
            if member.trainable:
                tensor = wiring.tensors[member.tensor].detach()
                for unit, positions in enumerate(member.positions):
                    for position in positions:
                        squares[unit] += float(tensor.select(member.dim, position).double().square().sum())
        got = magnitude(axis, Weights(wiring.tensors))
        assert got.shape == (axis.size,) and got.dtype == torch.float32
        assert torch.allclose(got, torch.tensor([math.sqrt(s) for s in squares]), rtol=1e-5)


def test_by_hand() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0], [0.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 2.0]))
        model[2].weight.copy_(torch.tensor([[4.0, 1.0]]))
    wiring = netsmith.trace(model, torch.ones(1, 1))
    assert magnitude(wiring.axis["0.weight:0"], Weights(wiring.tensors)).tolist() == pytest.approx([5.0, math.sqrt(5)])


def test_sums_of_absolute_values() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-3.0], [0.0]]))
        model[0].bias.copy_(torch.tensor([1.0, 2.0]))
        model[2].weight.copy_(torch.tensor([[4.0, -1.0]]))
    wiring = netsmith.trace(model, torch.ones(1, 1))
    assert magnitude(wiring.axis["0.weight:0"], Weights(wiring.tensors), p=1).tolist() == pytest.approx([8, 3])


@pytest.mark.parametrize("p", [0, -1, math.inf, math.nan, "2", None])
def test_no_such_norm(p: object) -> None:
    wiring = wired("mlp")
    with pytest.raises(InputError, match=r"p=.* must be a number > 0: 2 for the Euclidean norm"):
        magnitude(wiring.axis["0.weight:0"], Weights(wiring.tensors), p=p)  # type: ignore[arg-type]


def test_buffers_do_not_count() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    before = magnitude(wiring.axis["conv1.weight:0"], Weights(wiring.tensors))
    model.bn1.running_mean.fill_(1000)
    assert torch.equal(magnitude(wiring.axis["conv1.weight:0"], Weights(wiring.tensors)), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_shuffled_units_get_shuffled_scores(name: str) -> None:
    """Reorder the units of one axis in every tensor that it runs through."""
    wiring = wired(name)
    for axis in wiring.free_axes:
        before = magnitude(axis, Weights(wiring.tensors))
        order = torch.randperm(axis.size, generator=torch.Generator().manual_seed(1)).tolist()
        shuffled = {n: t.detach().clone() for n, t in wiring.tensors.items()}
        for member in axis.members:
            source = shuffled[member.tensor].clone()
            for unit, positions in enumerate(member.positions):
                old = torch.tensor(member.positions[order[unit]])
                shuffled[member.tensor].index_copy_(
                    member.dim, torch.tensor(positions), source.index_select(member.dim, old)
                )
        assert torch.allclose(magnitude(axis, Weights(shuffled)), before[order], rtol=1e-5)


def test_half_precision_does_not_overflow() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).half()
    with torch.no_grad():
        model[0].weight.fill_(1000)
    wiring = netsmith.trace(model, torch.ones(1, 4).half())
    assert torch.isfinite(magnitude(wiring.axis["0.weight:0"], Weights(wiring.tensors))).all()
