"""On one linear layer the steps are ridge regression; on several they never end worse than they began."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.evidence import Checkpoint
from netsmith.evidence.gradients import differentiable
from netsmith.evidence.taping import tape
from netsmith.recovery.curvature import FittedLayer
from netsmith.recovery.gauss_newton import Fit
from netsmith.recovery.refits import Refit
from netsmith.wiring import tensor_slots


def linear_fit(bias: bool, count: int = 3) -> tuple[nn.Linear, Fit, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    layer = nn.Linear(5, 3, bias=bias).double()
    xs = [torch.randn(40, 5).double() + 0.5 for _ in range(count)]
    targets = [torch.randn(40, 3).double() for _ in xs]
    model = nn.Sequential(layer).eval()
    wiring = netsmith.trace(model, xs[0])
    refit = Refit(0, wiring.calls[0].name, "0.weight", "0.bias" if bias else "", (), 0.0, (), -1)
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    tapes = [tape(wiring, model, Checkpoint(0, x), 0) for x in xs]
    fit = Fit([FittedLayer(refit, slots, 1)], list(zip(tapes, targets, strict=True)), torch.Generator().manual_seed(0))
    return layer, fit, torch.cat(xs), torch.cat(targets)


@pytest.mark.parametrize("bias", [True, False])
def test_one_linear_layer_becomes_the_least_squares_solution(bias: bool) -> None:
    layer, fit, x, t = linear_fit(bias)
    before, after = fit.run(fit.batches, steps=30, strength=1e-9)
    full = torch.cat([x, torch.ones(len(x), 1).double()], 1) if bias else x
    solution = torch.linalg.lstsq(full, t).solution
    assert torch.allclose(layer.weight.T, solution[:5], atol=1e-3)
    if bias:
        assert torch.allclose(layer.bias, solution[5], atol=1e-3)
    assert after < before
    assert after == pytest.approx(float((full @ solution - t).square().mean()), rel=1e-4)


def test_a_strong_penalty_keeps_the_weights() -> None:
    layer, fit, *_ = linear_fit(bias=False)
    start = layer.weight.detach().clone()
    fit.run(fit.batches, steps=10, strength=1e6)
    assert torch.allclose(layer.weight, start, atol=1e-3)


def test_no_step_is_no_change() -> None:
    layer, fit, *_ = linear_fit(bias=True)
    start = layer.weight.detach().clone()
    before, after = fit.run(fit.batches, steps=0, strength=1e-2)
    assert before == after and torch.equal(layer.weight, start)


def test_directions_are_those_of_the_gradient_scaled_by_the_curvature() -> None:
    """Of a single layer with its own outputs as result: Newton's step, but for the damping."""
    layer, fit, x, t = linear_fit(bias=True)
    with differentiable(fit._tensors()):
        fit._see()
        fit._feel()
        for each in fit.layers:
            each.settle(1e-9)
        _, _, gradients = fit._slope(fit.batches)
    (fitted,) = fit.layers
    step = fitted.direction(gradients[0])
    full = torch.cat([x, torch.ones(len(x), 1).double()], 1)
    newton = torch.linalg.lstsq(full, t).solution - torch.cat([layer.weight.T, layer.bias[None]])
    assert torch.allclose(step[0], newton, rtol=0.05, atol=0.02)


def test_a_convolution_with_groups_and_a_normalization_keeps_its_place_in_parameters() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU()).eval()
    slots = {slot.name: slot.tensor for slot in tensor_slots(model)}
    norm = ("1.weight", "1.bias", "1.running_mean", "1.running_var")
    layer = FittedLayer(Refit(0, "conv2d", "0.weight", "", norm, 1e-5, (), -1), slots, 2)
    assert layer.parameters.shape == (2, 2 * 9 + 1, 3)
    x = torch.randn(3, 4, 5, 5)
    with torch.no_grad():
        expected = model[1](model[0](x) + torch.arange(6.0).reshape(1, 6, 1, 1))
        moved = layer.parameters.clone()
        moved[:, -1] += torch.arange(6.0).reshape(2, 3)  # a constant in front of the normalization
        layer.move_to(moved)
        assert torch.allclose(model[1](model[0](x)), expected, atol=1e-5)
