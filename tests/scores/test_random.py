"""Scores that say nothing, always the same."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import InputError, ModelError
from netsmith.scores import Weights, random
from small_networks import network


def wired() -> netsmith.Wiring:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 2000), nn.ReLU(), nn.Linear(2000, 300), nn.ReLU(), nn.Linear(300, 2))
    return netsmith.trace(model, torch.ones(1, 6))


def test_uniform_between_0_and_1() -> None:
    wiring = wired()
    values = random(wiring.axis["0.weight:0"], Weights(wiring.tensors))
    assert values.dtype == torch.float32 and float(values.min()) >= 0 and float(values.max()) < 1
    assert float(values.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(values.std()) == pytest.approx(12**-0.5, abs=0.02)
    shares = torch.histc(values, 10, 0, 1) / 2000
    assert float((shares - 0.1).abs().max()) < 0.03


def test_it_has_nothing_to_do_with_the_weights_size() -> None:
    wiring = wired()
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    both = torch.stack([random(axis, weights), netsmith.scores.magnitude(axis, weights)])
    assert abs(float(torch.corrcoef(both)[0, 1])) < 0.08


def test_seed_axis_and_order_of_calls() -> None:
    wiring = wired()
    weights, (one, two) = Weights(wiring.tensors), (wiring.axis["0.weight:0"], wiring.axis["2.weight:0"])
    first = random(one, weights)
    random(two, weights)
    torch.rand(3)
    assert torch.equal(first, random(one, weights))
    assert not torch.equal(first, random(one, weights, seed=1))
    assert not torch.equal(first[:300], random(two, weights))


def test_it_draws_nothing_from_the_callers_numbers() -> None:
    wiring, state = wired(), torch.get_rng_state()
    netsmith.plan_removal(wiring, keep=0.5, score=random)
    assert torch.equal(state, torch.get_rng_state())


def test_half_precision_and_no_values() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model.bfloat16(), x.bfloat16())
    assert len(set(random(wiring.axis["conv1.weight:0"], Weights(wiring.tensors)).tolist())) == 12
    wiring = netsmith.trace(network("mlp")[0].to("meta"), torch.ones(1, 6, device="meta"))
    with pytest.raises(ModelError, match="has weights on 'meta'"):
        netsmith.plan_removal(wiring, keep=0.5, score=random)


def test_a_seed_that_is_no_number() -> None:
    wiring = wired()
    with pytest.raises(InputError, match="seed='a' is a str; give an int"):
        netsmith.plan_removal(wiring, keep=0.5, score=partial(random, seed="a"))


def test_weights_of_odd_strides() -> None:
    """One element a unit, taken across a wide matrix."""
    model, x = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 1)), torch.ones(2, 6)
    with torch.no_grad():
        model[1].weight = nn.Parameter(torch.as_strided(torch.randn(64), (1, 8), (1, 8)))
    wiring = netsmith.trace(model, x)
    assert len(set(random(wiring.axis["0.weight:0"], Weights(wiring.tensors)).tolist())) == 8
