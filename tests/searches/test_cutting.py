"""Which blocks are cut, in what order, until when; what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import netsmith
from block_networks import Narrowing, Placed, Stacked, Streamed, images, stacked
from netsmith.errors import BudgetError, EvidenceError, InputError
from netsmith.evidence.bypassing import bypassed
from netsmith.plans import RemoveBlock, ReplaceBlock
from netsmith.recovery import rejoin
from netsmith.searches import plan_cut
from netsmith.searches.candidates import candidates

DATA = [images(24)[:12], images(24)[12:]]


def uneven() -> Stacked:
    """blocks.1 does nothing, blocks.3 next to nothing."""
    model = stacked()
    with torch.no_grad():
        for index, scale in ((1, 0.0), (3, 0.02)):
            model.blocks[index].conv2.weight.mul_(scale)
            model.blocks[index].conv2.bias.mul_(scale)
    return model


def cut(model: nn.Module, **options: Any) -> list[str]:
    plan = plan_cut(netsmith.trace(model, images(1)), data=DATA, maps=False, **options)
    return [edit.block for edit in plan.block_edits]


def test_candidates_are_items_not_the_stack() -> None:
    found, left = candidates(netsmith.trace(stacked(), images(1)))
    assert list(found) == ["blocks.0", "blocks.1", "blocks.2", "blocks.3", "alone"] and left == {}


@pytest.mark.parametrize("influence", ["divergence", "cosine", "taylor"])
def test_the_least_influential_go_first(influence: Any) -> None:
    assert cut(uneven(), blocks=1, influence=influence) == ["blocks.1"]
    assert cut(uneven(), blocks=2, influence=influence) == ["blocks.1", "blocks.3"]


def test_cut_until_a_threshold_or_a_budget() -> None:
    assert cut(uneven(), threshold=1e-6) == ["blocks.1"]
    model = uneven()
    plan = plan_cut(netsmith.trace(model, images(1)), budget=netsmith.Budget(macs=0.7), data=DATA, maps=False)
    small = netsmith.apply(model, plan)
    share = netsmith.measure(small, images(1)).macs / netsmith.measure(model, images(1)).macs
    assert 0.5 < share <= 0.7 and len(plan.edits) == 2


def test_influence_is_measured_anew_after_each() -> None:
    told: list[str] = []
    wiring = netsmith.trace(uneven(), images(1))
    plan_cut(
        wiring, blocks=2, data=DATA, maps=False, progress=lambda done, of, name: told.append(f"{done}/{of} {name}")
    )
    # the second round measures the four that are left, under their names in the cut model
    assert told[:5] == ["1/5 blocks.0", "2/5 blocks.1", "3/5 blocks.2", "4/5 blocks.3", "5/5 alone"]
    assert told[5:] == ["1/4 blocks.0", "2/4 blocks.1", "3/4 blocks.2", "4/4 alone"]


def test_a_map_comes_where_it_helps() -> None:
    model = stacked()
    with torch.no_grad():  # an affine block, and one that is not
        block = model.blocks[1]
        block.conv2.weight.zero_()
        block.conv2.bias.copy_(torch.arange(6) * 0.02)
        for index in (0, 2, 3):
            model.blocks[index].conv2.weight.mul_(8)
        model.alone.conv2.weight.mul_(8)
    plan = plan_cut(netsmith.trace(model, images(1)), blocks=1, data=DATA)
    assert [type(edit) for edit in plan.block_edits] == [ReplaceBlock] and plan.block_edits[0].block == "blocks.1"
    plan = plan_cut(netsmith.trace(Placed(), torch.randn(1, 4)), blocks=1, data=[torch.randn(64, 4)] * 2)
    assert isinstance(plan.block_edits[0], RemoveBlock)  # its layers are called with more than a map takes


def test_a_layer_that_depends_on_its_place_is_left() -> None:
    model = Placed("scaled", 4).eval()
    plan = plan_cut(netsmith.trace(model, torch.randn(1, 4)), blocks=1, data=[torch.randn(64, 4)], maps=False)
    assert [edit.block for edit in plan.block_edits] == ["layers.3"]  # behind it no index changes
    with pytest.raises(InputError, match="blocks=4, but only . blocks can be cut .*depends on a layer's place"):
        plan_cut(netsmith.trace(model, torch.randn(1, 4)), blocks=4, data=[torch.randn(64, 4)], maps=False)


def test_requests_that_make_no_sense() -> None:
    wiring = netsmith.trace(stacked(), images(1))
    for options, message in [
        ({}, "give one of blocks"),
        ({"blocks": 1, "threshold": 0.1}, "give one of blocks"),
        ({"blocks": 0}, "blocks=0 must be an int ≥ 1"),
        ({"blocks": True}, "blocks=True must be an int ≥ 1"),
        ({"threshold": -1}, "threshold=-1 must be a number > 0"),
        ({"budget": 0.5}, "budget is a float; give e.g."),
        ({"blocks": 1, "influence": "fisher"}, "influence=.fisher.; give one of divergence, cosine, taylor"),
        ({"blocks": 9}, "blocks=9, but only 5 blocks can be cut"),
        ({"blocks": 1, "loss": nn.functional.cross_entropy}, 'influence="divergence" takes no loss'),
        ({"blocks": 1, "evaluate": 3}, "evaluate is a function of a model"),
        ({"blocks": 1, "evaluate": float, "influence": "cosine"}, "takes the place of influence="),
        ({"blocks": 1, "evaluate": lambda model: "good"}, "evaluate returned 'good'; it must return one number"),
    ]:
        with pytest.raises(InputError, match=message):
            plan_cut(wiring, data=DATA, maps=False, **options)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match="all 5 blocks that can go are gone"):
        plan_cut(wiring, budget=netsmith.Budget(macs=0.001), data=DATA, maps=False)
    with pytest.raises(EvidenceError, match="data is empty"):
        plan_cut(wiring, blocks=1, data=[])
    with pytest.raises(InputError, match=r"wiring is a Stacked; give what trace"):
        plan_cut(stacked(), blocks=1, data=DATA)  # type: ignore[arg-type]


def test_too_many_blocks_are_refused_before_anything_is_measured() -> None:
    class Unread:
        def __iter__(self) -> Any:
            raise AssertionError("data was read")

    with pytest.raises(InputError, match="blocks=99, but only 5 blocks can be cut"):
        plan_cut(netsmith.trace(stacked(), images(1)), blocks=99, data=Unread())


def test_what_a_user_measures_decides() -> None:
    model, modes = uneven(), []
    with torch.no_grad(), bypassed(model, {"blocks.2": None}):
        wanted = model(DATA[0])

    def evaluate(candidate: nn.Module) -> float:
        modes.append(candidate.training)
        return -float((candidate(DATA[0]) - wanted).square().mean())

    assert cut(model, blocks=1) == ["blocks.1"]
    assert cut(model, blocks=1, evaluate=evaluate) == ["blocks.2"]
    assert "blocks.2" in cut(model, threshold=1e-9, evaluate=evaluate)
    assert modes and not any(modes)


def streamed() -> Streamed:
    """The second branch of layer 0 does nothing, and so does the first of layer 2; each layer as a whole does."""
    torch.manual_seed(0)
    model = Streamed("pre", layers=3).eval()
    with torch.no_grad():
        for module in (model.layers[0].down, model.layers[2].mix):
            module.weight.mul_(1e-3), module.bias.mul_(1e-3)
    return model


def test_branches_compete_where_a_cost_or_a_threshold_is_set() -> None:
    wiring = netsmith.trace(streamed(), torch.randn(1, 3))
    data = [torch.randn(64, 3, generator=torch.Generator().manual_seed(1))] * 2
    plan = plan_cut(wiring, threshold=1e-3, data=data, maps=False)
    assert [e.block for e in plan.block_edits] == ["layers.0.down", "layers.2.mix"]
    assert netsmith.verify(wiring.model, netsmith.apply(wiring.model, plan), plan, torch.randn(2, 3))
    plan = plan_cut(wiring, budget=netsmith.Budget(macs=0.8), data=data, maps=False)
    assert plan.block_edits[0].block == "layers.0.down"  # more is saved by it than by layers.2.mix
    plan = plan_cut(wiring, threshold=1e-3, data=data, maps=False, branches=False)
    assert plan.edits == ()
    plan = plan_cut(wiring, blocks=1, data=data, maps=False)
    assert isinstance(plan.block_edits[0], RemoveBlock)


def test_a_block_takes_along_what_was_cut_inside_it() -> None:
    model = streamed()
    with torch.no_grad():
        model.layers[0].mix.weight.mul_(1e-2), model.layers[0].mix.bias.mul_(1e-2)
    wiring = netsmith.trace(model, torch.randn(1, 3))
    data = [torch.randn(64, 3, generator=torch.Generator().manual_seed(1))] * 2
    smallest = 1 - 58 * 1.4 / 270
    plan = plan_cut(wiring, budget=netsmith.Budget(params=smallest), data=data, maps=False)
    edits = [(type(e).__name__, e.block) for e in plan.block_edits]
    assert ("RemoveBlock", "layers.0") in edits and ("RemoveBranch", "layers.0.down") not in edits


def test_a_shape_changing_block_goes_for_a_map() -> None:
    torch.manual_seed(0)
    model = Narrowing().eval()
    with torch.no_grad():
        model.two[0].conv2.weight.zero_()  # affine, in every second position
        for block in (*model.one, model.two[1]):
            block.conv2.weight.mul_(5)
    x = torch.randn(128, 3, 6, 6)
    wiring = netsmith.trace(model, x[:1])
    plan = plan_cut(wiring, blocks=1, data=list(x.split(64)))
    assert plan.block_edits == (ReplaceBlock("two.0", "conv2d", 4, 8, 2, 1),)
    done = rejoin(wiring, plan, list(x.split(16)))
    with torch.no_grad():
        assert torch.allclose(done.model(x), model(x), atol=0.02)
    assert netsmith.verify(model, done.model, done.plan, x[:2])
    assert plan_cut(wiring, blocks=1, data=[x[:64]], maps=False).block_edits[0].block != "two.0"
