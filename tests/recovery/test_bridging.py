"""Affine maps in closed form: what is affine is found exactly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Narrowing, images, stacked
from netsmith.plans import plan_blocks
from netsmith.recovery.bridging import bridges, projections


def test_an_affine_block_is_found() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
    found = list(bridges(model, "0", "0", [torch.randn(400, 5), torch.randn(100, 5)]))
    assert [b.edit.kind for b in found] == ["linear"]
    x = torch.randn(7, 5)
    near = (found[0].function(x) - model[0](x)).square().mean() / (model[0](x) - x).square().mean()
    assert near < 1e-3  # the ridge pulls a little towards the identity


def test_images_are_mapped_position_by_position() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.diag(torch.tensor([2.0, -1.0, 0.5, 1.0]))[:, :, None, None])
    channels, whole = bridges(model, "0", "block", [torch.randn(8, 4, 6, 6)])
    assert (channels.edit.kind, whole.edit.kind) == ("channels", "conv2d")
    x = torch.randn(2, 4, 3, 3)
    for bridge in (channels, whole):
        assert bridge.edit.block == "block" and bridge.edit.width == 4
        assert torch.allclose(bridge.function(x), model[0](x), atol=0.1)
    assert channels.weight.tolist() == pytest.approx([2, -1, 0.5, 1], abs=0.05)


def test_the_module_in_its_place_does_the_same() -> None:
    model = stacked()
    for bridge in bridges(model, "blocks.1", "blocks.1", [images(32)]):
        plan = plan_blocks(netsmith.trace(model, images(1)), [bridge.edit])
        module = netsmith.apply(model, plan).get_submodule("blocks.1")
        bridge.put(module)
        x = torch.randn(2, 6, 5, 5)
        assert torch.allclose(module(x), bridge.function(x), atol=1e-5)


def test_batches_of_several_lengths() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3))
    (bridge,) = bridges(model, "0", "0", [torch.randn(4, 9, 3), torch.randn(4, 5, 3)])
    assert bridge.weight.shape == (3, 3) and torch.isfinite(bridge.weight).all()


def test_shape_changing_blocks_are_projected_from_positions_or_patches() -> None:
    torch.manual_seed(0)
    model = Narrowing().eval()
    model.two[0] = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 1))  # affine in patches
    wiring = netsmith.trace(model, torch.randn(1, 3, 6, 6))
    batches = [torch.randn(64, 3, 6, 6)]
    points, patches = projections(model, "two.0", wiring.transitions[0], batches)
    assert [(b.edit.outputs, b.edit.stride, b.edit.kernel) for b in (points, patches)] == [(8, 2, 1), (8, 2, 2)]
    x = torch.randn(4, 4, 6, 6)
    with torch.no_grad():
        wanted = model.two[0](x)
        error = [float((b.function(x) - wanted).square().mean() / wanted.var()) for b in (points, patches)]
    assert error[1] < 0.02 and error[1] < error[0] / 5
    for bridge in (points, patches):
        plan = plan_blocks(wiring, [bridge.edit])
        small = netsmith.apply(model, plan)
        bridge.put(small.two[0])
        with torch.no_grad():
            assert torch.allclose(small.two[0](x), bridge.function(x), atol=1e-5)
        done = plan.with_refitted(["two.0.weight", "two.0.bias"])
        assert netsmith.verify(model, small, done, torch.randn(2, 3, 6, 6))


def test_patches_must_tile_the_image() -> None:
    model = Narrowing().eval()
    transition = netsmith.trace(model, torch.randn(1, 3, 7, 7)).transitions[0]
    found = projections(model, "two.0", transition, [torch.randn(9, 3, 7, 7)])
    assert [bridge.edit.kernel for bridge in found] == [1]
