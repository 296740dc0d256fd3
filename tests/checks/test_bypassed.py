"""verify on edits of blocks: what it proves, and that it sees what is wrong."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Placed, images, stacked
from netsmith.checks.bypassed import with_blocks_bypassed
from netsmith.plans import Plan, RemoveBlock, ReplaceBlock, plan_blocks, plan_removal

X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def planned(model: nn.Module, x: torch.Tensor, *edits: RemoveBlock | ReplaceBlock) -> tuple[Plan, nn.Module]:
    plan = plan_blocks(netsmith.trace(model, x), edits)
    return plan, netsmith.apply(model, plan)


def failed(verdict: netsmith.Verdict) -> list[str]:
    return [check.name for check in verdict.checks if check.status == "failed"]


def test_a_bypassed_block_returns_its_input_and_the_model_is_as_before_afterwards() -> None:
    model = stacked()
    plan, _ = planned(model, images(1), RemoveBlock("blocks.0"), RemoveBlock("blocks.1"))
    before = model(images())
    with with_blocks_bypassed(model, plan, lambda name: torch.empty(0)):
        x = model.blocks[3](model.blocks[2](torch.relu(model.stem(images()))))
        assert torch.equal(model(images()), model.fc(model.alone(x).mean((2, 3))))
    assert torch.equal(model(images()), before)


@pytest.mark.parametrize("edit", [RemoveBlock("blocks.1"), RemoveBlock("alone", False)])
def test_removed_blocks_are_proved_exactly(edit: RemoveBlock) -> None:
    model = stacked()
    plan, small = planned(model, images(1), edit)
    verdict = netsmith.verify(model, small, plan, images())
    assert verdict and "largest difference 0.0e+00" in str(verdict)


@pytest.mark.parametrize("kind", ["conv2d", "channels"])
def test_a_fitted_map_is_proved_and_another_is_not(kind: str) -> None:
    model = stacked()
    plan, small = planned(model, images(1), RemoveBlock("blocks.0"), ReplaceBlock("blocks.2", kind, 6))  # type: ignore[arg-type]
    with torch.no_grad():
        small.blocks[1].weight.normal_()
        small.blocks[1].bias.normal_()
    assert failed(netsmith.verify(model, small, plan, images())) == ["weights"]
    plan = plan.with_refitted(["blocks.1.weight", "blocks.1.bias"])
    assert netsmith.verify(model, small, plan, images())
    small.blocks[1].forward = lambda x: x  # type: ignore[method-assign]
    assert failed(netsmith.verify(model, small, plan, images())) == ["outputs"]


def test_a_layer_that_depends_on_its_place_is_found() -> None:
    model = Placed("scaled")
    plan, small = planned(model, X, RemoveBlock("layers.0"))  # the calls are the same; a number in them is not
    assert failed(netsmith.verify(model, small, plan, X)) == ["outputs"]
    assert "depends on a layer's place" in str(netsmith.verify(model, small, plan, X))


def test_the_wrong_block_is_found() -> None:
    model = stacked()
    plan, _ = planned(model, images(1), RemoveBlock("blocks.1"))
    _, other = planned(model, images(1), RemoveBlock("blocks.2"))
    assert "weights" in failed(netsmith.verify(model, other, plan, images()))


def test_each_step_of_a_chain_is_checked() -> None:
    model = stacked()
    first, between = planned(model, images(1), RemoveBlock("blocks.1"))
    with torch.no_grad():
        between.fc.weight.add_(1)
    first = first.with_refitted(["fc.weight", "blocks.2.conv2.weight"])
    plan = plan_removal(netsmith.trace(between, images(1)), keep=0.5).after(first)
    assert plan.refitted == {"fc.weight", "blocks.2.conv2.weight"}
    small = netsmith.apply(between, plan.steps[-1])
    assert netsmith.verify(model, small, plan, images())
    assert len(small.blocks) == 3 and small.stem.out_channels == 3
    wrong = copy.deepcopy(small)
    with torch.no_grad():
        wrong.stem.weight.add_(1)
    assert failed(netsmith.verify(model, wrong, plan, images())) == ["weights"]
    scaled = Placed("scaled")
    cut, between = planned(scaled, X, RemoveBlock("layers.0"))
    chain = plan_removal(netsmith.trace(between, X), keep=1.0).after(cut)
    assert failed(netsmith.verify(scaled, between, chain, X)) == ["outputs"]
