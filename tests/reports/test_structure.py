"""Axes and blocks before and after, through one plan and through several."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import netsmith
from block_networks import images, stacked
from chains import CASES, chained
from netsmith.reports.structure import GONE, axes_of, blocks_of


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("stacked", ("insert", "prune", "cut")),
        ("stacked", ("cut", "prune", "insert")),
        ("stacked", ("merge", "fuse", "prune")),
        ("streamed", ("branch", "widen", "prune")),
        ("llama", ("cut", "prune")),
    ],
)
def test_widths_are_those_of_the_changed_model(name: str, kinds: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    build, inputs = CASES[name]
    model, x = build().eval(), inputs()
    edited, plan = chained(model, x, kinds, 0)
    wiring = netsmith.trace(model, x)
    told = axes_of(wiring, plan)
    untouched = axes_of(netsmith.trace(edited, x), netsmith.Plan((), {}, {}, {}, "f"))
    assert Counter(axis.after for axis in told if axis.after) == Counter(axis.before for axis in untouched)
    before = {axis.name: axis.before for axis in told if axis.before}
    assert before == {name: wiring.axis[name].size for name in before}


def test_axes_stand_in_the_order_of_the_calls_and_frozen_ones_say_why() -> None:
    wiring = netsmith.trace(stacked(), images(2))
    told = axes_of(wiring, netsmith.Plan((), {}, {}, {}, wiring.fingerprint))
    names = [axis.name for axis in told]
    assert names.index("stem.weight:0") < names.index("blocks.0.conv1.weight:0") < names.index("alone.conv1.weight:0")
    assert names[-1] == "fc.weight:0"
    assert told[-1].frozen and all(axis.before == axis.after for axis in told)
    assert not [name for name in names if name.endswith((":2", ":3"))]  # sizes of kernels


def test_the_fate_of_blocks() -> None:
    model, x = stacked(), images(2)
    _, plan = chained(model, x, ("cut", "prune"), 0)
    (gone,) = [edit.block for step in plan.steps for edit in step.block_edits]
    wiring = netsmith.trace(model, x)
    told = {block.name: block for block in blocks_of(wiring, plan, influence={"alone": 0.5}, sensitivity={"alone": 2})}
    assert told[gone].fate == "removed"
    assert told["alone"].fate == "kept" and told["alone"].influence == 0.5 and told["alone"].sensitivity == 2
    assert set(told) >= {"blocks.0", "blocks.1", "blocks.2", "blocks.3"}
    assert all(block.fate in ("kept", "removed", GONE) for block in told.values())
