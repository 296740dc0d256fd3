"""Which axes can change width alone, and which only together because one number of the model rules them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..plans.sizing import solve
from ..plans.widths import rounded
from ..wiring import Wiring
from ..wiring.layouts import axis_names
from ..wiring.provenance import attributes_in, dims_in


def axes_together(
    wiring: Wiring, names: Sequence[str], round_to: int | None
) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Split axes into the smallest sets that forward lets change, largest axis first within a set.

    Returns:
        The sets, in the order of ``names``, and axis -> reason for those that cannot change.
    """
    half = {name: rounded(wiring.axis[name], wiring.sizes[name] // 2, round_to) for name in names}
    names = [name for name in names if half[name] < wiring.sizes[name]]
    alone = {name for name in names if _changes(wiring, [name], half)}
    tied = [name for name in names if name not in alone]
    sets: list[tuple[str, ...]] = [(name,) for name in names if name in alone]
    left: dict[str, str] = {}
    for group in _connected(wiring, tied):
        if _changes(wiring, group, half):
            sets.append(tuple(sorted(group, key=lambda n: (-wiring.sizes[n], n))))
        else:
            left |= dict.fromkeys(group, "the sizes that forward demands leave it no other width")
    order = {name: i for i, name in enumerate(names)}
    return sorted(sets, key=lambda s: min(order[n] for n in s)), left


def _changes(wiring: Wiring, group: Iterable[str], half: dict[str, int]) -> bool:
    sizing = solve(wiring, {name: half[name] for name in group})
    return all(sizing.sizes[name] < wiring.sizes[name] for name in group)


def _connected(wiring: Wiring, names: Sequence[str]) -> list[list[str]]:
    """Sets of axes that are linked by relations, over attributes and other axes of the same list."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    wanted = set(names)
    for left, right in wiring.relations:
        sides = (left, right)
        axes = {n for side in sides for dim in dims_in(side) for n in axis_names(dim)} & wanted
        linked = [*(f"={key}" for side in sides for key in attributes_in(side)), *axes]
        for other in linked[1:]:
            parent[root(other)] = root(linked[0])
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(root(name), []).append(name)
    return list(groups.values())
