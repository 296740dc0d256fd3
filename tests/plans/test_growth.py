"""Growing: wider and deeper in one plan, saved, loaded, chained with removal; where blocks come; what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Placed, Stacked, images, stacked
from netsmith.errors import InputError, PlanError, UnknownNameError
from netsmith.plans import Plan, RemoveBlock, plan_blocks, plan_growth

X = images(2)


def places(plan: Plan) -> list[str]:
    return [edit.block for step in plan.steps for edit in step.insertions]


def test_wider_and_deeper_saved_and_loaded(tmp_path: Path) -> None:
    model = stacked()
    plan = plan_growth(netsmith.trace(model, X), widen={"*": 1.5}, deepen=2)
    assert places(plan) == ["blocks.1", "blocks.3"] and len(plan.widenings) == 8
    grown = netsmith.apply(model, plan)
    assert len(grown.blocks) == 6 and grown.stem.out_channels == 9
    assert torch.allclose(model(X), grown(X), atol=1e-6)
    verdict = netsmith.verify(model, grown, plan, X)
    assert verdict.ok and "float64" in str(verdict)
    netsmith.save(grown, tmp_path / "grown", plan=plan)
    again = netsmith.load(tmp_path / "grown", Stacked)
    assert torch.equal(again(X), grown(X))


def test_more_blocks_than_places() -> None:
    model = stacked()
    plan = plan_growth(netsmith.trace(model, X), deepen=6)
    grown = netsmith.apply(model, plan)
    assert len(grown.blocks) == 10 and [b.layer_index for b in grown.blocks] == list(range(10))
    assert torch.allclose(model(X), grown(X), atol=1e-6) and netsmith.verify(model, grown, plan, X)


def test_where() -> None:
    wiring = netsmith.trace(stacked(), X)
    assert places(plan_growth(wiring, deepen=1)) == ["blocks.2"]
    assert places(plan_growth(wiring, deepen=2, where={"blocks.3": 2.0, "blocks.0": 3.0, "blocks.1": 1.0})) == [
        "blocks.0",
        "blocks.3",
    ]
    assert places(plan_growth(wiring, deepen=2, where=["blocks.0", "blocks.0"])) == ["blocks.0", "blocks.0"]


def test_chained_with_removal_and_cutting() -> None:
    model = stacked()
    larger = plan_growth(netsmith.trace(model, X), widen={"*": 2.0}, deepen=1)
    grown = netsmith.apply(model, larger)
    narrower = netsmith.plan_removal(netsmith.trace(grown, X), keep=0.75)
    narrow = netsmith.apply(grown, narrower)
    cut = plan_blocks(netsmith.trace(narrow, X), [RemoveBlock("blocks.0")])
    whole = cut.after(narrower.after(larger))
    final = netsmith.apply(model, whole)
    assert len(final.blocks) == 4 and final.stem.out_channels == 9
    assert torch.equal(final(X), netsmith.apply(narrow, cut)(X))
    assert netsmith.verify(model, final, whole, X)


def test_it_trains_on_and_verifies_when_told_so() -> None:
    model = stacked()
    plan = plan_growth(netsmith.trace(model, X), widen={"*": 2.0}, deepen=1)
    grown = netsmith.apply(model, plan).train()
    optimizer = torch.optim.SGD(grown.parameters(), lr=0.1)
    for _ in range(2):  # what stood behind zeros moves from the second step on
        optimizer.zero_grad()
        grown(X).square().sum().backward()
        optimizer.step()
    inserted = grown.blocks[3]
    assert inserted.conv2.weight.abs().max() > 0 and inserted.conv1.weight.grad.abs().max() > 0
    w = grown.stem.weight
    twins = [u for u, s in enumerate(plan.widenings[0].source) if s == 0]
    assert not torch.equal(w[twins[0]], w[twins[1]])  # copies part
    assert not netsmith.verify(model, grown, plan, X)
    refitted = plan.with_refitted(grown.state_dict())
    assert netsmith.verify(model, grown, refitted, X)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "give widen"),
        ({"deepen": 0}, InputError, "deepen=0 must be an int ≥ 1"),
        ({"deepen": 1, "where": "influence"}, InputError, 'give "even", names of blocks, or their influence'),
        ({"deepen": 1, "where": 3}, InputError, "where is a int"),
        ({"deepen": 10**6}, InputError, "deepen=1000000: there are . places, each for at most 64 blocks; give at most"),
        ({"deepen": 2, "where": ["blocks.0"]}, InputError, "deepen=2, but where names 1 blocks"),
        ({"deepen": 1, "where": ["blocks.9"]}, UnknownNameError, r"where: 'blocks\.9' is no block"),
        ({"deepen": 1, "where": ["alone"]}, PlanError, "is no item of an nn.Sequential"),
    ],
)
def test_what_is_refused(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_growth(netsmith.trace(stacked(), X), **options)


def test_no_place_says_why() -> None:
    with pytest.raises(InputError, match="wiring is a int"):
        plan_growth(3, deepen=1)  # type: ignore[arg-type]
    plain = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    with pytest.raises(PlanError, match="no block can be inserted: no block of it is an item of an nn.Sequential"):
        plan_growth(netsmith.trace(plain, torch.randn(2, 4)), deepen=1)
    inputs = torch.randn(2, 4)
    with pytest.raises(PlanError, match="with copies of layers.0 the model would be another"):
        plan_growth(netsmith.trace(Placed("scaled"), inputs), deepen=1, where=["layers.0"])
