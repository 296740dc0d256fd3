"""What measuring gives and allocating takes: how the error grows as axes get narrower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ..plans import RemoveBlock
from ..wiring import Wiring


@dataclass(frozen=True)
class Curve:
    """Error against width of axes that change together; everything else is as in the original.

    Attributes:
        axes: names; widths are those of the first, the others follow in proportion.
        errors: width -> divergence from the original's outputs after repair, ≥ 0; nats for class scores. The full
            width is among them.
    """

    axes: tuple[str, ...]
    errors: Mapping[int, float]

    @cached_property
    def hull(self) -> tuple[tuple[int, float], ...]:
        """(width, error) of the largest convex curve below the measured one, full width first.

        A step along it never costs less error per unit than the step before, so a greedy walk is optimal.
        """
        points: list[tuple[int, float]] = []
        for point in sorted(self.errors.items(), reverse=True):
            while len(points) > 1 and _slope(points[-2], point) <= _slope(points[-2], points[-1]):
                points.pop()
            points.append(point)
        return tuple(points)

    def error(self, width: float) -> float:
        """Interpolated along the hull; beyond it, its nearest end."""
        above = self.hull[0]
        for below in self.hull[1:]:
            if width >= below[0]:
                share = (above[0] - min(width, above[0])) / (above[0] - below[0])
                return above[1] + share * (below[1] - above[1])
            above = below
        return above[1]


def _slope(wide: tuple[int, float], narrow: tuple[int, float]) -> float:
    return (narrow[1] - wide[1]) / (wide[0] - narrow[0])


@dataclass(frozen=True)
class Leaving:
    """Residual blocks that may go altogether, all of them at once, everything else as in the original.

    Attributes:
        edits: take them out.
        error: divergence from the original's outputs without them, after repair, ≥ 0; in the unit of ``Curve.errors``.
    """

    edits: tuple[RemoveBlock, ...]
    error: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Evidence for any number of budgets. Made by ``measure_curves``.

    Attributes:
        wiring: of the model.
        curves: one for each axis, or set of axes that only change together.
        ranks: axis -> its units, those that stay longest first.
        round_to: as given; allocated widths are multiples of it.
        left: axes that cannot change -> why.
        blocks: sets of them that may go altogether, from ``measure_blocks``; none unless that was called.
    """

    wiring: Wiring
    curves: tuple[Curve, ...]
    ranks: Mapping[str, tuple[int, ...]]
    round_to: int | None = None
    left: Mapping[str, str] | None = None
    blocks: tuple[Leaving, ...] = ()

    def without(self, wiring: Wiring, names: Mapping[str, str]) -> Curves:
        """Of the axes that are left when some blocks are gone; no block more may go.

        Args:
            wiring: of the model without the blocks.
            names: axis -> its name there, for those that are left.
        """
        kept = [c for c in self.curves if all(axis in names for axis in c.axes)]
        return replace(
            self,
            wiring=wiring,
            curves=tuple(Curve(tuple(names[axis] for axis in c.axes), c.errors) for c in kept),
            ranks={names[axis]: units for axis, units in self.ranks.items() if axis in names},
            left={names.get(axis, axis): why for axis, why in (self.left or {}).items()},
            blocks=(),
        )

    def __str__(self) -> str:
        lines = [f"Curves of {len(self.curves)} axes: width -> divergence"]
        for curve in self.curves:
            points = "  ".join(f"{w}: {e:.4f}" for w, e in sorted(curve.errors.items(), reverse=True))
            lines.append(f"  {' + '.join(curve.axes):<48} {points}")
        for each in self.blocks:
            lines.append(f"  without {', '.join(edit.block for edit in each.edits):<40} {each.error:.4f}")
        return "\n".join(lines)
