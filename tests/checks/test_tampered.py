"""A model that is not what its plan makes does not pass: values, numbers that only say a place, hooks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Stacked, images, stacked
from netsmith.plans import MergeBlocks, Plan, plan_blocks, plan_fusion, plan_growth, plan_precision, plan_sparsity
from netsmith.plans.deepening import plan_insertion
from netsmith.plans.depth import branch_removals
from netsmith.wiring import Wiring
from netsmith.wiring.wrapped import inner_tensors

X = images(2)


def _revive(model: Stacked) -> None:
    weight = model.stem.weight.view(-1)
    weight[(weight == 0).nonzero()[0]] = 0.5


def _louder(model: Stacked) -> None:
    model.blocks[2].register_forward_hook(lambda module, args, made: made * 1.01)


def _branch(wiring: Wiring) -> Plan:
    return branch_removals(wiring)[0]["blocks.0.conv2"]


def _merged(wiring: Wiring) -> Plan:
    return plan_blocks(wiring, [MergeBlocks("blocks.2", True, (), "blocks.1", "average")])


def _widened(wiring: Wiring) -> Plan:
    return plan_growth(wiring, widen={"*": 1.5})


def _inserted(wiring: Wiring) -> Plan:
    return plan_insertion(wiring, ["blocks.1"])


def _sparse(wiring: Wiring) -> Plan:
    return plan_sparsity(wiring, share=0.4, scope="layer")


def _integers(wiring: Wiring) -> Plan:
    pytest.importorskip("torchao")
    return plan_precision(wiring, scheme="int8")


@pytest.mark.parametrize(
    ("make", "change", "check"),
    [
        (_widened, lambda m: m.stem.weight.copy_(m.stem.weight.flip(0)), "weights"),
        (_widened, lambda m: m.fc.weight[:, 0].mul_(1.1), "weights"),
        (_widened, lambda m: m.fc.weight.fill_(float("nan")), "runs"),
        (_inserted, lambda m: m.blocks[2].conv2.weight.add_(0.1), "weights"),
        (_inserted, _louder, "outputs"),
        (_inserted, lambda m: setattr(m.blocks[2], "layer_index", 7), "attributes"),
        (_inserted, lambda m: setattr(m.blocks[1], "layer_index", 0), "attributes"),
        (plan_fusion, lambda m: m.blocks[0].conv1.weight.mul_(1.01), "weights"),
        (_merged, lambda m: m.blocks[1].conv1.weight.mul_(1.01), "weights"),
        (_branch, lambda m: setattr(m.blocks[0], "conv2", nn.Identity()), "outputs"),
        (_sparse, _revive, "outputs"),
        (_integers, lambda m: inner_tensors(m.blocks[0].conv1.weight)[0].view(-1)[0].add_(1), "weights"),
        (_integers, _louder, "outputs"),
    ],
)
@torch.no_grad()
def test_a_tampered_model_fails(
    make: Callable[[Wiring], Plan], change: Callable[[Stacked], object], check: str
) -> None:
    model = stacked()
    plan = make(netsmith.trace(model, X))
    edited = netsmith.apply(model, plan)
    assert netsmith.verify(model, edited, plan, X).ok
    change(edited)
    verdict = netsmith.verify(model, edited, plan, X)
    assert check in [each.name for each in verdict.checks if each.status == "failed"]
