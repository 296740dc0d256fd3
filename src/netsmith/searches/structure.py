"""One choice from the menus, as JSON values that travel; and what the model is without some blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..costs import Cost, predict
from ..plans import Plan, RemoveBlock, ReplaceBlock, plan_blocks
from ..plans.carrying import carry_out
from ..plans.sizing import solve
from ..wiring import Wiring, trace
from ..wiring.depth import shell
from ..wiring.layouts import axis_names


@dataclass(frozen=True)
class Structure:
    """What differs from the original. Names are those of the original.

    Attributes:
        widths: (first axis of a menu, width), for menus whose width differs, by name.
        cut: blocks that go, by name, and those that are replaced, as in the menus.
        precision: how weights are stored; None: as they are.
    """

    widths: tuple[tuple[str, int], ...] = ()
    cut: tuple[str, ...] = ()
    precision: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"widths": dict(self.widths), "cut": list(self.cut), "precision": self.precision}

    def __str__(self) -> str:
        words = [f"{name}: {width}" for name, width in self.widths]
        words += [block if " as " in block else f"without {block}" for block in self.cut]
        return ", ".join([*words, *([self.precision] if self.precision else [])]) or "as it is"


def structure(widths: Mapping[str, int], cut: Iterable[str] = (), precision: str | None = None) -> Structure:
    """The structure with these choices, spelled in one way only."""
    return Structure(tuple(sorted((name, int(width)) for name, width in widths.items())), tuple(sorted(cut)), precision)


def structure_from_json(values: Mapping[str, Any]) -> Structure:
    return structure(values["widths"], values["cut"], values["precision"])


def without_blocks(wiring: Wiring, blocks: Sequence[RemoveBlock | ReplaceBlock]) -> tuple[Wiring, dict[str, str]]:
    """The wiring of the model without some blocks, or with maps in their place, its weights unread, and what it calls
    the axes that are left.

    Raises:
        PlanError: together they cannot go.
    """
    if not blocks:
        return wiring, {name: name for name in wiring.sizes}
    plan = plan_blocks(wiring, blocks)
    twin = shell(wiring.model)
    carry_out(twin, plan)
    after = trace(twin, wiring.example_inputs)
    return after, renamed_axes(wiring, plan, after)


def renamed_axes(before: Wiring, plan: Plan, after: Wiring) -> dict[str, str]:
    """Axis of a model -> the same axis of the model without some blocks; without those that went with the blocks."""
    places = {
        (tensor, dim, place): name
        for tensor, dims in after.layouts.items()
        for dim, layout in enumerate(dims)
        for place, name in enumerate(axis_names(layout))
    }
    found: dict[str, str] = {}
    for tensor, dims in before.layouts.items():
        now = plan.renamed(tensor)
        for dim, layout in enumerate(dims):
            for place, name in enumerate(axis_names(layout)):
                other = None if now is None else places.get((now, dim, place))
                if other is not None and after.sizes[other] == before.sizes[name]:
                    found.setdefault(name, other)
    return found


def predicted(wiring: Wiring, sizes: Mapping[str, int]) -> Cost:
    """Cost of the model with these widths and what forward makes of them."""
    return predict(wiring, solve(wiring, sizes).sizes)
