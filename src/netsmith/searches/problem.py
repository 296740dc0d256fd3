"""What a strategy works on: menus, what structures cost, and what they may cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..costs import Cost
from ..errors import NetsmithError
from ..plans.sizing import solve
from ..wiring import Wiring
from .curves import Curves
from .measure import sizes_at
from .moments import Piece, peak_of, pieces_of
from .space import Menu, Menus
from .structure import Structure, structure, without_blocks
from .walking import Part, parts_of

BYTES_SHARE = {
    "int8": 0.27,
    "dynamic-int8": 0.27,
    "int4": 0.15,
}  # of the bytes of floats, with scales; measured when built


@dataclass(frozen=True, eq=False)
class View:
    """The model without some blocks.

    Attributes:
        wiring: its own.
        names: axis of the original -> its name here, for those that are left.
        menus: of those that are left.
    """

    wiring: Wiring
    names: Mapping[str, str]
    menus: tuple[Menu, ...]

    @cached_property
    def parts(self) -> list[Part]:
        return parts_of(self.wiring)

    @cached_property
    def pieces(self) -> list[Piece]:
        return pieces_of(self.wiring)


@dataclass(frozen=True, eq=False)
class Problem:
    """One search.

    Attributes:
        wiring: of the original.
        menus: what may be chosen.
        limits: of each budget: cost -> most. Latency is not among them: it is steered by MACs.
        curves: of the axes; None where widths cannot change.
        influence: of the blocks that may go.
        round_to: as in the space.
    """

    wiring: Wiring
    menus: Menus
    limits: tuple[Mapping[str, float], ...]
    curves: Curves | None = None
    influence: Mapping[str, float] = field(default_factory=dict)
    round_to: int | None = None
    _views: dict[tuple[str, ...], View] = field(default_factory=dict, repr=False)
    _costs: dict[Structure, Cost] = field(default_factory=dict, repr=False)

    def view(self, cut: Iterable[str]) -> View:
        """The model without some blocks. Raises PlanError where they cannot go together."""
        key = tuple(sorted(cut))
        if key not in self._views:
            wiring, names = without_blocks(self.wiring, [self.menus.blocks[block] for block in key])
            left = tuple(menu for menu in self.menus.widths if all(axis in names for axis in menu.axes))
            self._views[key] = View(wiring, names, left)
        return self._views[key]

    def sizes(self, chosen: Structure) -> dict[str, int]:
        """Wanted size of each axis whose width the structure names, by its name without the cut blocks."""
        view, widths = self.view(chosen.cut), dict(chosen.widths)
        found: dict[str, int] = {}
        for menu in view.menus:
            if menu.name in widths:
                found |= {
                    view.names[n]: s for n, s in menu_sizes(self.wiring, menu, widths[menu.name], self.round_to).items()
                }
        return found

    def cost(self, chosen: Structure) -> Cost:
        """What the structure costs; bytes of integers are an estimate, all else is exact."""
        if chosen not in self._costs:
            view = self.view(chosen.cut)
            sizes = solve(view.wiring, self.sizes(chosen)).sizes
            each = [part.cost(sizes) for part in view.parts]
            share = BYTES_SHARE.get(chosen.precision or "", 1.0)
            stored = round(share * sum(c.bytes for c in each))
            peak = peak_of(view.wiring, view.pieces, sizes, stored)
            self._costs[chosen] = Cost(sum(c.params for c in each), sum(c.macs for c in each), stored, peak_bytes=peak)
        return self._costs[chosen]

    def excess(self, chosen: Structure, limits: Mapping[str, float]) -> float:
        """The largest of cost / limit; ≤ 1: it fits."""
        cost = self.cost(chosen)
        return max((getattr(cost, name) / limit for name, limit in limits.items()), default=0.0)

    def able(self, cut: Sequence[str]) -> bool:
        """Whether these blocks can go together."""
        try:
            self.view(cut)
        except NetsmithError:
            return False
        return True

    def plain(self, chosen: Structure) -> Structure:
        """The same structure without widths that are the present ones or whose axes are cut away."""
        here = {menu.name: menu.full for menu in self.view(chosen.cut).menus}
        widths = {name: width for name, width in chosen.widths if name in here and width != here[name]}
        return structure(widths, chosen.cut, chosen.precision)

    def curves_of(self, cut: Sequence[str]) -> Curves | None:
        """The original's curves, under the names of the model without some blocks."""
        if self.curves is None or not cut:
            return self.curves
        view = self.view(cut)
        return self.curves.without(view.wiring, view.names)


def menu_sizes(wiring: Wiring, menu: Menu, width: int, round_to: int | None) -> dict[str, int]:
    """Widths of all axes of a menu when the first has this one."""
    if width > menu.full:
        return {name: wiring.sizes[name] * width // menu.full for name in menu.axes}
    return {**sizes_at(wiring, menu.axes, width / menu.full, round_to), menu.name: width}
