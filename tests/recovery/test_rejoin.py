"""After a cut the layers that stay come nearer to what the original gave."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Placed, Streamed, images, stacked
from netsmith.errors import EvidenceError, PlanError
from netsmith.evidence import divergence
from netsmith.plans import RemoveBlock, RemoveBranch, ReplaceBlock, plan_blocks, plan_removal
from netsmith.recovery.rejoin import rejoin

DATA = [torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(5)]
FRESH = torch.randn(128, 3, 5, 5, generator=torch.Generator().manual_seed(99))


def left(original: nn.Module, model: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float(divergence(original(x), model.eval()(x)))


@pytest.mark.parametrize(
    "edits",
    [
        [RemoveBlock("blocks.2")],
        [RemoveBlock("blocks.1"), RemoveBlock("blocks.2"), RemoveBlock("alone", False)],
        [RemoveBlock("blocks.0")],
        [ReplaceBlock("blocks.1", "conv2d", 6), ReplaceBlock("alone", "channels", 6)],
    ],
)
def test_outputs_never_seen_come_nearer(edits: list[RemoveBlock | ReplaceBlock]) -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(1))
    plan = plan_blocks(wiring, edits)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    repaired = rejoin(wiring, plan, DATA)
    assert left(model, repaired.model, FRESH) < 0.5 * left(model, netsmith.apply(model, plan), FRESH)
    assert repaired.plan.refitted and repaired.plan.edits == plan.edits
    assert netsmith.verify(model, repaired.model, repaired.plan, images())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(after <= at_first for at_first, after in repaired.errors.values())


def test_what_a_branch_added_is_taken_over() -> None:
    torch.manual_seed(0)
    model = Streamed("pre", layers=3).eval()
    data = [torch.randn(128, 3) for _ in range(5)]
    wiring = netsmith.trace(model, data[0][:1])
    for branch in (wiring.branches[2], wiring.branches[3]):
        plan = plan_blocks(wiring, [RemoveBranch(branch.name, branch.modules, branch.returns)])
        repaired = rejoin(wiring, plan, data[:4])
        fresh = torch.randn(256, 3)
        assert left(model, repaired.model, fresh) < 0.5 * left(model, netsmith.apply(model, plan), fresh)
        assert netsmith.verify(model, repaired.model, repaired.plan, data[0][:2])
        assert not any(name.startswith("stem") for name in repaired.plan.refitted)


def test_what_lies_before_the_cut_stays_as_it_was() -> None:
    model = stacked()
    wiring = netsmith.trace(model, images(1))
    repaired = rejoin(wiring, plan_blocks(wiring, [RemoveBlock("blocks.2")]), DATA)
    names = {name.rpartition(".")[0] for name in repaired.plan.refitted}
    assert "blocks.1.conv2" in names and "blocks.2.conv2" in names
    assert not any(name.startswith(("stem", "blocks.0")) for name in names)


def test_layers_with_keywords() -> None:
    torch.manual_seed(0)
    model = Placed().eval()
    data = [torch.randn(64, 4) for _ in range(5)]
    wiring = netsmith.trace(model, data[0][:1])
    for name in ("layers.0", "layers.1", "layers.2"):
        plan = plan_blocks(wiring, [RemoveBlock(name)])
        repaired = rejoin(wiring, plan, data)
        assert left(model, repaired.model, data[0]) < left(model, netsmith.apply(model, plan), data[0])


def test_nothing_is_kept_that_does_not_help() -> None:
    model = stacked()
    with torch.no_grad():  # without it nothing is lost
        model.blocks[2].conv2.weight.zero_()
        model.blocks[2].conv2.bias.zero_()
    wiring = netsmith.trace(model, images(1))
    plan = plan_blocks(wiring, [RemoveBlock("blocks.2")])
    repaired = rejoin(wiring, plan, DATA)
    assert repaired.plan == plan and repaired.errors == {}
    assert torch.equal(repaired.model(FRESH), netsmith.apply(model, plan)(FRESH))


def test_plans_that_it_cannot_repair() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    plan = plan_blocks(wiring, [RemoveBlock("blocks.2")])
    for other in (plan_removal(wiring, keep=0.5), plan.after(plan_removal(wiring, keep=1.0))):
        with pytest.raises(PlanError, match="rejoin repairs after a plan of block edits"):
            rejoin(wiring, other, DATA)
    with pytest.raises(EvidenceError, match="data is empty"):
        rejoin(wiring, plan, [])
