"""Blocks leave where that costs less than narrower axes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import netsmith
from block_networks import images, stacked
from netsmith.errors import BudgetError, UnknownNameError
from netsmith.evidence import divergence
from netsmith.plans import Budget, RemoveBlock
from netsmith.recovery import repair
from netsmith.searches import Curve, Curves, Leaving, allocate, measure_blocks, plan_allocation
from netsmith.wiring import Wiring

DATA = [torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(i)) for i in range(4)]
NAMES = [f"blocks.{i}" for i in range(4)]


def curves(wiring: Wiring, errors: list[float]) -> Curves:
    """Every block's inner axis loses 0.1 for each unit; without the first, the first two … it is what errors say."""
    axes = [f"{name}.conv1.weight:0" for name in NAMES]
    lines = tuple(Curve((axis,), {6 - i: 0.1 * i for i in range(6)}) for axis in axes)
    edits = [RemoveBlock(name) for name in NAMES]
    leaving = tuple(Leaving(tuple(edits[: i + 1]), error) for i, error in enumerate(errors))
    return Curves(wiring, lines, {axis: tuple(range(6)) for axis in axes}, blocks=leaving)


@pytest.fixture
def wiring() -> Wiring:
    return netsmith.trace(stacked(), images(1))


def test_a_block_goes_where_that_is_cheaper_than_narrower_axes(wiring: Wiring) -> None:
    plan = allocate(curves(wiring, [0.05, 9.0]), Budget(macs=0.7))
    assert [edit.block for step in plan.steps for edit in step.block_edits] == ["blocks.0"]
    edited = netsmith.apply(wiring.model, plan)
    share = netsmith.measure(edited, images(1)).macs / netsmith.measure(wiring.model, images(1)).macs
    assert 0.65 < share <= 0.7
    # what stood behind the block is named by its new place
    assert plan.resizes and all(edit.axis.split(".")[1] in "012" for edit in plan.resizes)
    assert netsmith.verify(wiring.model, edited, plan, images())


def test_blocks_that_cost_more_than_units_stay(wiring: Wiring) -> None:
    given = curves(wiring, [9.0] * 4)
    assert allocate(given, Budget(macs=0.7)) == allocate(replace(given, blocks=()), Budget(macs=0.7))


def test_nothing_goes_where_the_budget_is_kept_already(wiring: Wiring) -> None:
    plan = allocate(curves(wiring, [0.0] * 4), Budget(macs=1.0))
    assert not plan.edits and not plan.before and "nothing to do" in plan.left["the model"]


def test_blocks_alone_may_keep_a_budget_that_widths_cannot(wiring: Wiring) -> None:
    given = curves(wiring, [0.5, 1.0, 2.0, 4.0])
    with pytest.raises(BudgetError, match="cannot be met"):
        allocate(replace(given, blocks=()), Budget(macs=0.3))
    plan = allocate(given, Budget(macs=0.3))
    edited = netsmith.apply(wiring.model, plan)
    assert netsmith.measure(edited, images(1)).macs <= 0.3 * netsmith.measure(wiring.model, images(1)).macs
    with pytest.raises(BudgetError, match="cannot be met"):
        allocate(given, Budget(macs=0.001))


def test_a_block_is_measured_after_repair(wiring: Wiring) -> None:
    empty = Curves(wiring, (), {})
    told: list[str] = []
    found = measure_blocks(empty, DATA, progress=lambda done, total, name: told.append(f"{done}/{total}")).blocks
    sets = [each for each in found if len(each.edits) > 1]
    assert [len(each.edits) for each in sets] == list(range(2, len(sets) + 2)) and sets
    assert told == [f"{i + 1}/10" for i in range(5 + len(sets))]
    assert all(more.edits[:-1] == fewer.edits for fewer, more in pairwise(sets))
    for each in found:
        model = netsmith.apply(wiring.model, netsmith.plans.plan_blocks(wiring, each.edits)).eval()
        with torch.no_grad():
            without = sum(float(divergence(wiring.model(x), model(x))) for x in DATA) / len(DATA)
        assert 0 < each.error < without
    (only,) = measure_blocks(empty, DATA, ignore=("blocks.*",)).blocks
    assert [edit.block for edit in only.edits] == ["alone"]
    with pytest.raises(UnknownNameError, match="no such"):
        measure_blocks(empty, DATA, ignore=("no such",))


def test_shrinking_with_depth_is_repaired_towards_the_original() -> None:
    model = stacked()
    with torch.no_grad():
        model.blocks[1].conv2.weight.mul_(0.001)  # a block that does little
    wiring = netsmith.trace(model, images(1))
    plan = plan_allocation(wiring, budget=Budget(macs=0.2), data=DATA, depth=True)
    assert "blocks.1" in [edit.block for edit in plan.before[0].block_edits]
    done = repair(wiring, plan, DATA)
    plain = netsmith.apply(wiring.model, plan).eval()
    fresh = torch.randn(128, 3, 5, 5, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        wanted = wiring.model(fresh)
        before, after = (float(divergence(wanted, model(fresh))) for model in (plain, done.model))
    assert after < 0.5 * before
    assert netsmith.verify(wiring.model, done.model, done.plan, images())
