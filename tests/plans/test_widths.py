"""From widths to units to a plan."""

from __future__ import annotations

import pytest
import torch

import netsmith
from netsmith.plans.sizing import solve
from netsmith.plans.widths import best_units, plan_for, proven_sizing, rounded
from netsmith.wiring import Axis
from small_networks import network


@pytest.mark.parametrize(
    ("size", "full", "round_to", "expected"),
    [
        (5, 10, None, 5),
        (0, 10, None, 1),
        (12, 10, None, 10),
        (13, 64, 8, 16),
        (11, 64, 8, 8),
        (1, 64, 8, 8),
        (64, 64, 8, 64),
        (70, 68, 8, 68),  # the full width is always allowed
        (3, 8, 8, 3),
        (3, 6, 8, 3),
        (0, 6, 8, 1),
    ],
)
def test_rounded(size: int, full: int, round_to: int | None, expected: int) -> None:
    assert rounded(Axis("a", full, None, ()), size, round_to) == expected


@pytest.mark.parametrize(("size", "full", "expected"), [(5, 32, 8), (3, 8, 8), (4, 6, 6), (21, 32, 24), (32, 32, 32)])
def test_what_a_kernel_wants_always_holds(size: int, full: int, expected: int) -> None:
    assert rounded(Axis("a", full, None, (), multiple_of=8), size, None) == expected


def test_pinned_units_are_room_enough() -> None:
    assert rounded(Axis("a", 10, None, (), pinned=(0, 9)), 1, None) == 2


def test_the_best_units_ascending() -> None:
    axis = Axis("a", 5, None, ())
    score = torch.tensor([3.0, 1.0, 5.0, 1.0, 4.0])
    assert best_units(axis, score, 3) == (0, 2, 4)
    assert best_units(axis, score, 4) == (0, 1, 2, 4)  # a tie: the lower one
    assert best_units(axis, score, 5) == (0, 1, 2, 3, 4)


def test_pinned_units_stay_whatever_they_score() -> None:
    axis = Axis("a", 5, None, (), (), (1, 3))
    score = torch.tensor([3.0, 1.0, 5.0, -1.0, 4.0])
    assert best_units(axis, score, 2) == (1, 3)
    assert best_units(axis, score, 3) == (1, 2, 3)


def test_a_plan_names_only_what_changes() -> None:
    wiring = netsmith.trace(*network("concatenated"))
    sizing, given_up = proven_sizing(wiring, {"grouped.weight:0.1": 4})
    assert given_up == {}
    plan = plan_for(wiring, sizing, {"grouped.weight:0.1": (5, 0, 2, 1)})
    assert plan.keep() == {"grouped.weight:0.1": (0, 1, 2, 5)}
    assert plan.layouts.keys() == {
        "grouped.weight",
        "grouped.bias",
        "depthwise.weight",
        "depthwise.bias",
        "fc.weight",
    }
    assert plan.attributes == {"depthwise:groups": (12, 8)}
    assert plan.fingerprint == wiring.fingerprint
    assert plan.shape_after("fc.weight") == (5, 2 * 4 * 16)


def test_statistics_over_a_changed_axis_are_in_the_edit() -> None:
    wiring = netsmith.trace(*network("attention"))
    plan = netsmith.plan_removal(wiring, keep=0.5)
    (edit,) = [e for e in plan.edits if e.axis == "embed.weight:0"]
    assert edit.statistics == ("layer_norm in norm",)


def test_no_change_is_a_plan_too() -> None:
    wiring = netsmith.trace(*network("mlp"))
    plan = plan_for(wiring, solve(wiring, {}), {})
    assert (plan.edits, plan.layouts, plan.attributes, plan.sizes) == ((), {}, {}, {})
    edited = netsmith.apply(wiring.model, plan)
    assert torch.equal(edited(torch.ones(1, 6)), wiring.model(torch.ones(1, 6)))
