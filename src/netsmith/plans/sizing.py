"""Finds axis sizes and attribute values that satisfy everything a forward demands of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm

from ..errors import PlanError
from ..wiring import Wiring
from ..wiring.layouts import Concat, Layout, axis_names, layout_size
from ..wiring.provenance import Attribute, Expression, attributes_in, dims_in, evaluate, spelled

_MOST_TRIALS = 4096  # values tried for one attribute; no width of today's networks needs more than a few


@dataclass(frozen=True)
class Sizing:
    """New size of every axis, new value of every attribute that forward's relations mention."""

    sizes: dict[str, int]
    attributes: dict[str, int]


@dataclass(frozen=True)
class _Relation:
    left: Expression
    right: Expression
    attributes: frozenset[str]
    axes: frozenset[str]


def changeable_axes(wiring: Wiring, excluded: Iterable[str] = (), cut: str = "inside") -> list[str]:
    """Axes that a plan may change together: free, in a parameter, and one factor of each product.

    Of a dimension that is a product (heads × head width) only one factor is cut: with ``cut="inside"`` the innermost of
    at least 4 units, with ``cut="whole"`` the outermost of at least 2. Factors that lie in a buffer which only the
    constructor computes (rotary frequencies along the head width) come last: made anew, it would have other values.
    """
    excluded = set(excluded)
    free = {
        axis.name
        for axis in wiring.free_axes
        if axis.name not in excluded and axis.size > 1 and any(m.trainable for m in axis.members)
    }
    recomputed = {
        name
        for tensor in wiring.recomputed & wiring.layouts.keys()
        for d in wiring.layouts[tensor]
        for name in axis_names(d)
    }
    products: list[Layout] = []
    for name in wiring.parameter_names():
        for layout in wiring.layouts[name]:
            products += _products(layout)
    chosen: set[str] = set()
    for layout in sorted(products, key=lambda p: (not recomputed & set(axis_names(p)), len(p))):
        factors = [[n for n in axis_names((part,)) if n in free] for part in layout]
        candidates = [i for i, names in enumerate(factors) if names]
        if not candidates:
            continue
        stored = {i: not recomputed & set(factors[i]) for i in candidates}
        inside = cut == "inside" and not recomputed & set(axis_names(layout))

        def preference(i: int) -> tuple[bool, bool, bool, int]:
            size = layout_size((layout[i],), wiring.sizes)  # noqa: B023
            return (
                stored[i],  # noqa: B023
                bool(chosen & set(factors[i])),  # noqa: B023
                size >= (4 if inside else 2),  # noqa: B023
                i if inside else -i,  # noqa: B023
            )

        best = max(candidates, key=preference)
        chosen |= set(factors[best])
        for i in candidates:
            if i != best and not set(factors[i]) & set(factors[best]):
                free -= set(factors[i])
    return [axis.name for axis in wiring.axes if axis.name in free]


def _products(layout: Layout) -> list[Layout]:
    found = [layout] if len(layout) > 1 else []
    for part in layout:
        if isinstance(part, Concat):
            for inner in part.parts:
                found += _products(inner)
    return found


def solve(wiring: Wiring, targets: Mapping[str, int]) -> Sizing:
    """Sizes near the targets that every relation of the wiring accepts.

    Attributes are derived from the sizes; where that fails one axis is nudged; where that fails the axes in conflict
    keep their full size and the search starts again, so it always ends.

    Args:
        wiring: of the model.
        targets: wanted size of the axes to change, ≥ 1 each, larger or smaller than now; the others keep theirs.

    Raises:
        PlanError: the relations contradict each other even with every axis at full size.
    """
    return _Solver(wiring, targets).solve()


class _Solver:
    def __init__(self, wiring: Wiring, targets: Mapping[str, int]):
        self.wiring = wiring
        self.targets = {name: size for name, size in targets.items() if size != wiring.sizes[name]}
        self.growing = any(size > wiring.sizes[name] for name, size in self.targets.items())
        free = {axis.name for axis in wiring.free_axes}
        self.relations = []
        seen = set()
        for left, right in wiring.relations:
            axes = frozenset(n for e in (left, right) for dim in dims_in(e) for n in axis_names(dim) if n in free)
            key = (spelled(left), spelled(right))
            if key not in seen:
                seen.add(key)
                names = frozenset(attributes_in(left) | attributes_in(right))
                self.relations.append(_Relation(left, right, names, axes))
        self.reset()

    def reset(self) -> None:
        self.sizes = {**self.wiring.sizes, **self.targets}
        self.attributes = dict(self.wiring.attributes)
        self.owners: dict[str, frozenset[str]] = {}

    def solve(self) -> Sizing:
        while True:
            self.reset()
            conflict = self.sweep() or self.sweep()
            if not conflict:
                return Sizing(self.sizes, self.attributes)
            restored = conflict & set(self.targets)
            if not restored:
                raise PlanError("the sizes that forward demands contradict each other; no width can change here")
            for name in restored:
                del self.targets[name]

    def sweep(self) -> frozenset[str] | None:
        """Satisfy the relations one by one; returns the axes in conflict, None when all hold."""
        changing = set(self.targets)
        for relation in sorted(self.relations, key=lambda r: (bool(r.axes & changing), len(r.attributes))):
            unset = [key for key in sorted(relation.attributes) if key not in self.owners]
            if not self.holds(relation) and not self.derive(relation, unset) and not self.nudge(relation):
                guilty = set(relation.axes)
                for key in relation.attributes:
                    guilty |= self.owners.get(key, frozenset())
                return frozenset(guilty & changing) or frozenset(changing)
            for key in unset:
                self.owners[key] = relation.axes
        return None

    def value(self, expression: Expression) -> int:
        return evaluate(expression, lambda layout: layout_size(layout, self.sizes), self.attributes)

    def holds(self, relation: _Relation) -> bool:
        try:
            return self.value(relation.left) == self.value(relation.right)
        except ZeroDivisionError:
            return False

    def derive(self, relation: _Relation, unset: list[str]) -> bool:
        """Set one attribute that no other relation has set, so that this one holds."""
        for key in unset:
            before = self.attributes[key]
            direct = [self.value(side) for this, side in _sides(relation) if this == Attribute(key)]
            above = range(before + 1, 8 * before) if self.growing else range(0)
            for value in [*direct, *range(1, min(before, _MOST_TRIALS)), *above[:_MOST_TRIALS]]:
                self.attributes[key] = value
                if self.holds(relation):
                    return True
            self.attributes[key] = before
        return False

    def nudge(self, relation: _Relation) -> bool:
        """Move one changing axis as little as possible from its target."""
        for name in sorted(relation.axes & set(self.targets), key=lambda n: (-self.wiring.sizes[n], n)):
            before = self.sizes[name]
            full = self.wiring.sizes[name]
            axis = self.wiring.axis[name]
            least, most = max(1, len(axis.pinned)), full
            step = axis.multiple_of
            if self.targets[name] > full:  # copies under a statistic keep it only if every unit has as many
                least, most, step = full, 2 * self.targets[name], lcm(step, full if axis.statistics else 1)
            allowed = [n for n in range(least, most + 1) if n % step == 0]
            for size in sorted(allowed, key=lambda s: abs(s - self.targets[name]))[:512]:
                self.sizes[name] = size
                if self.holds(relation):
                    return True
            self.sizes[name] = before
        return False


def _sides(relation: _Relation) -> tuple[tuple[Expression, Expression], tuple[Expression, Expression]]:
    return (relation.left, relation.right), (relation.right, relation.left)
