"""Variance of activations, read where layers read them."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import activations
from netsmith.scores import Weights, activation_variance, magnitude
from small_networks import NETWORKS, network


def test_against_the_hidden_layer() -> None:
    model, x = network("mlp")
    wiring = netsmith.trace(model, x)
    got = activation_variance(
        wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]), otherwise=None
    )
    assert torch.allclose(got, model[:2](x).var(0, correction=0).detach(), atol=1e-5)
    assert got.dtype == torch.float32


def test_a_convolution_counts_positions_and_padding() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    got = activation_variance(
        wiring.axis["conv1.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x])
    )
    seen: list[torch.Tensor] = []
    model.conv2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(x)
    patches = torch.nn.functional.unfold(seen[0], 3, padding=1).transpose(1, 2).reshape(-1, 12, 9)
    assert torch.allclose(got, patches.var(0, correction=0).mean(1).detach(), atol=1e-5)


def test_several_readers_are_averaged() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    found = activations(wiring, [x])
    got = activation_variance(wiring.axis["stem.weight:0"], Weights(wiring.tensors), activations=found)
    conv = found.layers["conv1.weight"].variance()[0].reshape(8, 9).mean(1)
    assert torch.allclose(got, (conv + found.layers["fc.weight"].variance()[0]) / 2)


def test_constant_units_go_first() -> None:
    model, x = network("mlp")
    with torch.no_grad():
        model[0].weight[[2, 9]] = 0
        model[0].bias[[2, 9]] = 50
        model[0].bias[[3, 4]] = 5  # let something through
    x = torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    wiring = netsmith.trace(model, x)
    score = partial(activation_variance, activations=activations(wiring, [x]))
    assert not {2, 9} & set(netsmith.plan_removal(wiring, keep=0.85, score=score).keep()["0.weight:0"])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_axis_gets_a_score(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    score = partial(activation_variance, activations=activations(wiring, [x], gram=False))
    assert netsmith.plan_removal(wiring, keep=0.5, score=score).edits


def test_an_axis_that_nothing_reads_is_scored_otherwise() -> None:
    model, x = network("recurrent")
    wiring = netsmith.trace(model, x)
    found, axis, weights = activations(wiring, [x]), wiring.axis["embed.weight:0"], Weights(wiring.tensors)
    assert torch.equal(activation_variance(axis, weights, activations=found), magnitude(axis, weights))
    with pytest.raises(EvidenceError, match=r"no layer that reads axis 'embed\.weight:0' has activations; ignore"):
        activation_variance(axis, weights, activations=found, otherwise=None)
