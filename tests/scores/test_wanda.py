"""Weights times activations."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import activations
from netsmith.scores import Weights, magnitude, wanda
from small_networks import NETWORKS, network


def test_against_the_hidden_layer() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    got = wanda(wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]))
    hidden = model[:2](x).square().mean(0).sqrt()
    assert torch.allclose(got, (model[2].weight.abs() * hidden).sum(0).detach(), rtol=1e-4)
    assert got.dtype == torch.float32


def test_heads_of_an_attention() -> None:
    model, x = network("attention")
    wiring = netsmith.trace(model, x)
    found = activations(wiring, [x])
    got = wanda(wiring.axis["qkv.weight:0.1"], Weights(wiring.tensors), activations=found, otherwise=None)
    each = model.proj.weight.detach().abs().sum(0) * found.layers["proj.weight"].square[0].sqrt()
    assert torch.allclose(got, each.reshape(4, 4).sum(1))


def test_both_parts_of_a_concatenation_and_groups() -> None:
    model, x = network("concatenated")
    wiring = netsmith.trace(model, x)
    found, weights = activations(wiring, [x]), Weights(wiring.tensors)
    mix = (model.mix.weight.detach().abs().sum((0, 2, 3))) * found.layers["mix.weight"].square[0].sqrt()
    assert torch.allclose(wanda(wiring.axis["left.weight:0"], weights, activations=found), mix[:6])
    assert torch.allclose(wanda(wiring.axis["right.weight:0"], weights, activations=found), mix[6:])
    grouped = found.layers["grouped.weight"].square.sqrt().reshape(2, 4, 9)
    per_input = model.grouped.weight.detach().abs().reshape(2, 6, 4, 9).sum(1)
    got = wanda(wiring.axis["mix.weight:0.1"], weights, activations=found, otherwise=None)
    assert torch.allclose(got, (grouped * per_input).sum((0, 2)), rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_axis_gets_a_score_from_squares_alone(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    score = partial(wanda, activations=activations(wiring, [x], gram=False))
    assert netsmith.plan_removal(wiring, keep=0.5, score=score).edits


def test_an_axis_that_nothing_reads_is_scored_otherwise() -> None:
    model, x = network("recurrent")
    wiring = netsmith.trace(model, x)
    found, axis, weights = activations(wiring, [x]), wiring.axis["embed.weight:0"], Weights(wiring.tensors)
    assert torch.equal(wanda(axis, weights, activations=found), magnitude(axis, weights))
    with pytest.raises(EvidenceError, match=r"no layer that reads axis 'embed\.weight:0' has activations"):
        wanda(axis, weights, activations=found, otherwise=None)
