"""Structures travel as JSON; what they cost is what the built model costs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from netsmith.costs import measure
from netsmith.errors import NetsmithError
from netsmith.plans import RemoveBlock
from netsmith.searches.realizing import realized
from netsmith.searches.space import Space
from netsmith.searches.structure import Structure, structure, structure_from_json
from search_problems import problem, task

SPACE = Space(depth=True, growth=(1.5,), steps=8)
INNER = [f"blocks.{i}.wide.weight:0" for i in range(3)]


def test_json_and_back() -> None:
    chosen = structure({INNER[1]: 8, INNER[0]: 4}, ["blocks.2"], "int8")
    assert structure_from_json(json.loads(json.dumps(chosen.as_json()))) == chosen
    assert structure({INNER[0]: 4, INNER[1]: 8}, ["blocks.2"], "int8") == chosen
    assert str(chosen) == f"{INNER[0]}: 4, {INNER[1]}: 8, without blocks.2, int8" and str(Structure()) == "as it is"


@pytest.mark.parametrize(
    "chosen",
    [
        Structure(),
        structure({INNER[0]: 5, "stem.weight:0": 6}),
        structure({}, ["blocks.0"]),
        structure({INNER[0]: 4, INNER[2]: 7}, ["blocks.0", "blocks.1"]),
        structure({INNER[0]: 4, INNER[1]: 24}),
    ],
)
def test_cost_is_that_of_the_built_model(chosen: Structure) -> None:
    found = problem(SPACE)
    model, x, data = task()
    curves = found.curves
    assert curves is not None
    done = realized(found.wiring, found.menus, chosen, curves.ranks, [x for x, _ in data])
    cost = measure(done.model, x)
    predicted = found.cost(chosen)
    assert (cost.params, cost.macs, cost.bytes) == (predicted.params, predicted.macs, predicted.bytes)
    plan = done.plan.new_sizes
    assert model.blocks[0].wide.out_features == 16  # type: ignore[index, union-attr]
    assert not chosen.widths or plan


def test_names_follow_when_items_before_them_go() -> None:
    found = problem(SPACE)
    view = found.view(["blocks.0"])
    assert view.names[INNER[2]] == "blocks.1.wide.weight:0" and INNER[0] not in view.names
    assert [menu.name for menu in view.menus] == ["stem.weight:0", INNER[1], INNER[2]]
    curves = found.curves_of(("blocks.0",))
    assert curves is not None
    assert [curve.axes for curve in curves.curves] == [
        ("stem.weight:0",),
        ("blocks.0.wide.weight:0",),
        ("blocks.1.wide.weight:0",),
    ]
    assert found.plain(structure({INNER[0]: 4, INNER[1]: 16, INNER[2]: 8}, ["blocks.0"])) == structure(
        {INNER[2]: 8}, ["blocks.0"]
    )


def test_the_finer_repair_comes_nearer() -> None:
    found = problem(Space(depth=True))
    curves = found.curves
    assert curves is not None
    _, _, data = task()
    inputs = [x for x, _ in data]
    chosen = structure({INNER[0]: 3, INNER[1]: 3}, ["blocks.2"])
    plain = realized(found.wiring, found.menus, chosen, curves.ranks, inputs)
    again = realized(found.wiring, found.menus, chosen, curves.ranks, inputs)
    for a, b in zip(plain.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert a.equal(b)
    assert plain.plan.before and "blocks.1.back.weight" in plain.plan.refitted


def test_blocks_that_cannot_go_together() -> None:
    found = problem(Space(depth=True))
    assert found.able(["blocks.0", "blocks.1"])
    wrong = replace(found, menus=replace(found.menus, blocks={"ghost": RemoveBlock("ghost")}))
    assert not wrong.able(["ghost"])
    with pytest.raises(NetsmithError, match="ghost"):
        wrong.view(["ghost"])
