"""Scales of normalizations, wherever they come from."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError
from netsmith.scores import Weights, magnitude, norm_scale
from small_networks import network


def scored(model: nn.Module, x: torch.Tensor, axis: str) -> torch.Tensor:
    wiring = netsmith.trace(model, x)
    return norm_scale(wiring.axis[axis], Weights(wiring.tensors), wiring=wiring, otherwise=None)


def test_batch_normalizations_over_an_axis_add_up() -> None:
    model, x = network("residual")
    assert torch.allclose(scored(model, x, "conv1.weight:0"), model.bn1.weight.abs())
    assert torch.allclose(scored(model, x, "stem.weight:0"), model.norm.weight.abs() + model.bn2.weight.abs())


def test_shifts_do_not_count() -> None:
    model, x = network("residual")
    before = scored(model, x, "conv1.weight:0")
    with torch.no_grad():
        model.bn1.bias += 100
        model.bn1.running_mean += 100
    assert torch.equal(scored(model, x, "conv1.weight:0"), before)


def test_layer_normalization() -> None:
    model, x = network("attention")
    assert torch.allclose(scored(model, x, "embed.weight:0"), model.norm.weight.abs())


def test_a_normalization_without_scale_and_one_written_by_hand() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.b = nn.Linear(4, 6), nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 2)
            self.gain, self.shift = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.a(x))
            return self.b(self.gain * x + self.shift)

    model = ByHand()
    assert torch.allclose(scored(model, torch.randn(3, 4), "a.weight:0"), model.gain.abs())


def test_an_axis_without_one_is_scored_otherwise() -> None:
    wiring = netsmith.trace(*network("mlp"))
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    assert torch.equal(norm_scale(axis, weights, wiring=wiring), magnitude(axis, weights))
    by_sum = norm_scale(axis, weights, wiring=wiring, otherwise=partial(magnitude, p=1))
    assert torch.equal(by_sum, magnitude(axis, weights, p=1))
    with pytest.raises(EvidenceError, match=r"axis '0\.weight:0' has no normalization; ignore it, or take another"):
        norm_scale(axis, weights, wiring=wiring, otherwise=None)


def test_a_plan_of_it() -> None:
    model, x = network("residual")
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5, score=partial(norm_scale, wiring=wiring))
    largest = model.bn1.weight.abs().topk(6).indices.tolist()
    assert plan.keep()["conv1.weight:0"] == tuple(sorted(largest))
