"""A plan: what it refuses, and where its edits fall in tensors."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import netsmith
from netsmith.errors import PlanError
from netsmith.plans import Plan, RemoveBlock, ReplaceBlock, ResizeAxis
from netsmith.wiring.layouts import Concat
from small_networks import network


def plan(keep: tuple[int, ...] = (0, 2), size: int = 3, sizes: dict | None = None, **changes) -> Plan:
    fields = {
        "edits": (ResizeAxis("a", size, keep),),
        "sizes": sizes or {"a": 3, "b": 2},
        "layouts": {"w": (("a",), ("b",)), "packed": ((2, "a", "b"),)},
        "attributes": {"": (3, 2)},
        "fingerprint": "f",
    }
    return Plan(**{**fields, **changes})


@pytest.mark.parametrize("keep", [(), (2, 0), (0, 0), (-1, 0), (0, 3)])
def test_units_that_cannot_be_kept(keep: tuple[int, ...]) -> None:
    with pytest.raises(PlanError, match=r"edit of 'a': keep must be ascending units in 0\.\.2, and not empty"):
        plan(keep)


def test_a_size_that_disagrees() -> None:
    with pytest.raises(PlanError, match=r"edit of 'a': size 4 disagrees with the plan's 3"):
        plan(size=4)
    with pytest.raises(PlanError, match=r"edit of 'c': size 4 disagrees with the plan's None"):
        plan(edits=(ResizeAxis("c", 4, (0,)),))


def test_two_edits_of_one_axis() -> None:
    with pytest.raises(PlanError, match="two edits change the same axis; make one edit of them"):
        plan(edits=(ResizeAxis("a", 3, (0,)), ResizeAxis("a", 3, (1,))))


def test_a_layout_without_sizes() -> None:
    layouts = {"w": ((Concat((("a",), ("x", "y"))),),)}
    with pytest.raises(PlanError, match="layout of 'w' names axes without a size: x, y"):
        plan(layouts=layouts)


def test_sizes_and_shapes() -> None:
    made = plan()
    assert made.new_sizes == {"a": 2, "b": 2}
    assert made.keep() == {"a": (0, 2)}
    assert made.shape_before("packed") == (12,)
    assert made.shape_after("packed") == (8,)
    assert made.kept("w") == {0: [0, 2]}
    assert made.kept("packed") == {0: [0, 1, 4, 5, 6, 7, 10, 11]}


def test_refitted_adds_up_and_changes_nothing_else() -> None:
    first = plan()
    second = first.with_refitted(["w"]).with_refitted(iter(["packed", "w"]))
    assert second.refitted == {"w", "packed"}
    assert first.refitted == frozenset()
    assert second.with_refitted([]) == second
    assert second.edits == first.edits


def test_it_reads_well() -> None:
    made = plan(edits=(ResizeAxis("a", 3, (0, 2), ("layer_norm in n1", "mean in n2", "mean in n3")),))
    text = str(made)
    assert "1 axes, 2 tensors, 1 attributes" in text
    assert "3 -> 2" in text and "up to layer_norm in n1, mean in n2" in text and "n3" not in text


SIZES = {"a": 4, "b": 3, "c": 2}


def layouts(depth: int = 1) -> st.SearchStrategy:
    part = st.one_of(st.integers(2, 3), st.sampled_from(sorted(SIZES)))
    if depth:
        part = st.one_of(part, st.lists(layouts(depth - 1), min_size=2, max_size=3).map(lambda p: Concat(tuple(p))))
    # an axis lies at most once along one position
    return st.lists(part, max_size=3, unique_by=lambda p: p if isinstance(p, str) else object()).map(tuple)


def labelled(layout: tuple) -> list[dict]:
    """By hand: for every position, the unit of each axis on it."""
    columns = []
    for part in layout:
        if isinstance(part, Concat):
            columns.append([units for piece in part.parts for units in labelled(piece)])
        elif isinstance(part, str):
            columns.append([{part: unit} for unit in range(SIZES[part])])
        else:
            columns.append([{} for _ in range(part)])
    return [{k: v for units in row for k, v in units.items()} for row in itertools.product(*columns)]


def once(layout: tuple) -> bool:
    """No position lies on two units of one axis (an axis may occur in several parts of a Concat)."""
    seen: set[str] = set()
    for part in layout:
        names = set(flat(part))
        if names & seen:
            return False
        seen |= names
        if isinstance(part, Concat) and not all(once(piece) for piece in part.parts):
            return False
    return True


def flat(part) -> list[str]:
    if isinstance(part, Concat):
        return [n for piece in part.parts for inner in piece for n in flat(inner)]
    return [part] if isinstance(part, str) else []


@given(
    layout=layouts().filter(once),
    keep=st.fixed_dictionaries({n: st.sets(st.integers(0, s - 1), min_size=1) for n, s in SIZES.items()}),
)
def test_kept_positions_are_those_on_kept_units(layout: tuple, keep: dict) -> None:
    edits = tuple(ResizeAxis(n, SIZES[n], tuple(sorted(units))) for n, units in keep.items())
    made = Plan(edits, SIZES, {"w": (layout,)}, {}, "f")
    rows = labelled(layout)
    expected = [i for i, units in enumerate(rows) if all(unit in keep[axis] for axis, unit in units.items())]
    assert made.shape_before("w") == (len(rows),)
    assert made.shape_after("w") == (len(expected),)
    assert made.kept("w").get(0, list(range(len(rows)))) == expected
    assert torch.arange(len(rows))[expected].tolist() == expected


def test_refitted_names_are_several() -> None:
    model, x = network("mlp")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    with pytest.raises(PlanError, match="takes several names"):
        plan.with_refitted("a.weight")


def blocks(*edits: RemoveBlock | ReplaceBlock, **changes) -> Plan:
    return Plan(**{"edits": edits, "sizes": {}, "layouts": {}, "attributes": {}, "fingerprint": "f", **changes})


def test_edits_of_blocks_that_contradict_each_other() -> None:
    with pytest.raises(PlanError, match="block 'a' is edited twice"):
        blocks(RemoveBlock("a"), ReplaceBlock("a", "linear", 3))
    with pytest.raises(PlanError, match="an edited block lies inside 'a', which is edited too"):
        blocks(RemoveBlock("a"), RemoveBlock("a.0"))
    with pytest.raises(PlanError, match="one plan removes units and takes out or replaces blocks"):
        plan(edits=(ResizeAxis("a", 3, (0,)), RemoveBlock("b")))
    with pytest.raises(PlanError, match=r"chain plans with plan\.after"):
        blocks(before=(blocks(before=(blocks(),)),))


def test_chains_are_flat_and_carry_refitted_names_along() -> None:
    first = blocks(RemoveBlock("x.0"), RemoveBlock("y", False)).with_refitted(["x.0.weight", "x.2.weight"])
    second = blocks(RemoveBlock("x.0")).with_refitted(["x.5.weight"])
    third = plan()
    chain = third.after(second.after(first))
    # names are those after the edits: what first leaves as x.2 is x.1 behind second, what it leaves as x.0 is gone
    assert chain.refitted == third.after(second).after(first).refitted == {"x.1.weight", "x.5.weight"}
    assert [step.edits for step in chain.steps] == [first.edits, second.edits, third.edits]
    assert "x.0" in str(chain) and "removed" in str(chain) and str(chain).count("Plan: ") == 3
