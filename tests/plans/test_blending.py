"""Combined weights of merged blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Stacked, images, stacked
from netsmith.errors import PlanError
from netsmith.plans import MergeBlocks, Plan, RemoveBlock, plan_blocks
from netsmith.plans.blending import combine


def merged(model: Stacked, how: str) -> nn.Module:
    edits = [MergeBlocks(f"blocks.{i}", True, (), "blocks.0", how) for i in (1, 2)]  # type: ignore[arg-type]
    plan = plan_blocks(netsmith.trace(model, images(1)), edits)
    small = netsmith.apply(model, plan)
    assert netsmith.verify(model, small, plan, images(2)).ok
    return small


def test_the_three_ways() -> None:
    model = stacked()
    weights = [block.conv1.weight.detach() for block in model.blocks[:3]]
    variances = [block.norm.running_var for block in model.blocks[:3]]
    averaged, added, kept = (merged(model, how).blocks for how in ("average", "differences", "first"))
    assert len(averaged) == 2 and torch.equal(averaged[1].conv1.weight, model.blocks[3].conv1.weight)
    torch.testing.assert_close(averaged[0].conv1.weight, sum(weights) / 3)
    torch.testing.assert_close(added[0].conv1.weight, weights[1] + weights[2] - weights[0])
    for blocks in (averaged, added):  # a variance is never extrapolated
        torch.testing.assert_close(blocks[0].norm.running_var, sum(variances) / 3)
    assert torch.equal(kept[0].conv1.weight, weights[0])
    assert torch.equal(model.blocks[0].conv1.weight, weights[0])  # the caller's model is as it was


def test_blocks_must_be_alike() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 3), "c": nn.Linear(2, 2, bias=False)})
    for other, name in (("b", "weight"), ("c", "bias")):
        with pytest.raises(PlanError, match=f"'a' and {other} are not alike: {name} differs"):
            combine(model, [MergeBlocks(other, into="a")])
    with pytest.raises(PlanError, match="no module 'd'"):
        combine(model, [MergeBlocks("b", into="d")])


def test_plans_that_contradict_themselves() -> None:
    for edits, why in [
        ((MergeBlocks("a", into="b"), RemoveBlock("b")), "merged into 'b', which is edited too"),
        ((MergeBlocks("a"),), "has no name"),
        ((MergeBlocks("a", into="c"), MergeBlocks("b", into="c", how="first")), "in more than one way"),
    ]:
        with pytest.raises(PlanError, match=why):
            Plan(edits, {}, {}, {}, "")
