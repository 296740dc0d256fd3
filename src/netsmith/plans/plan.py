"""A plan: edits, and all that is needed to carry them out on a model that was never traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..errors import PlanError
from ..wiring.layouts import Layout, axis_names, kept_positions, layout_size
from .edits import Edit


@dataclass(frozen=True)
class Plan:
    """What to change in one model.

    A plan stands by itself: ``layouts`` and ``attributes`` say where the edited axes lie, so that ``apply`` and
    ``load`` need neither the wiring nor data. It never holds weights.

    Attributes:
        edits: the changes, each on another axis.
        sizes: units before the plan of every axis that a layout names.
        layouts: for each tensor that changes (parameter or buffer, by its state-dict style name), the layout of each
            of its dimensions.
        attributes: numbers that forward or the constructor reads, key -> (before, after). Keys are
            "module.path:attribute", with "[i]" for items of tuples: "blocks.0.attn:num_heads", ":config.hidden_size".
        fingerprint: of the structure the plan was made for (``netsmith.wiring.fingerprint``).
        refitted: tensors whose values were changed after the edits (repair, recalibration, training); ``verify``
            compares the others bit by bit.
        left: axes that were to change and could not -> why: a twin with their new widths did not run as promised.
    """

    edits: tuple[Edit, ...]
    sizes: Mapping[str, int]
    layouts: Mapping[str, tuple[Layout, ...]]
    attributes: Mapping[str, tuple[float, float]]
    fingerprint: str
    refitted: frozenset[str] = field(default_factory=frozenset)
    left: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for edit in self.edits:
            units = edit.keep
            if not units or list(units) != sorted(set(units)) or units[0] < 0 or units[-1] >= edit.size:
                raise PlanError(
                    f"edit of {edit.axis!r}: keep must be ascending units in 0..{edit.size - 1}, and not empty"
                )
            if self.sizes.get(edit.axis) != edit.size:
                raise PlanError(
                    f"edit of {edit.axis!r}: size {edit.size} disagrees with the plan's {self.sizes.get(edit.axis)}"
                )
        if len({e.axis for e in self.edits}) != len(self.edits):
            raise PlanError("two edits change the same axis; make one edit of them")
        for tensor, layouts in self.layouts.items():
            unknown = {a for layout in layouts for a in axis_names(layout)} - set(self.sizes)
            if unknown:
                raise PlanError(f"layout of {tensor!r} names axes without a size: {', '.join(sorted(unknown))}")

    @property
    def new_sizes(self) -> dict[str, int]:
        """Units of every axis after the plan."""
        return {**self.sizes, **{e.axis: len(e.keep) for e in self.edits}}

    def keep(self) -> dict[str, tuple[int, ...]]:
        """Axis -> units that stay, for the axes that lose some."""
        return {e.axis: e.keep for e in self.edits}

    def shape_before(self, tensor: str) -> tuple[int, ...]:
        return tuple(layout_size(layout, self.sizes) for layout in self.layouts[tensor])

    def shape_after(self, tensor: str) -> tuple[int, ...]:
        return tuple(layout_size(layout, self.new_sizes) for layout in self.layouts[tensor])

    def kept(self, tensor: str) -> dict[int, list[int]]:
        """Dimension -> positions that stay, for the dimensions of one tensor that lose some."""
        keep, result = self.keep(), {}
        for dim, layout in enumerate(self.layouts[tensor]):
            if any(name in keep for name in axis_names(layout)):
                result[dim] = kept_positions(layout, self.sizes, keep)
        return result

    def with_refitted(self, tensors: Iterable[str]) -> Plan:
        """The same plan, saying that the values of these tensors were changed after the edits.

        Raises:
            PlanError: one string instead of several names.
        """
        if isinstance(tensors, str):
            raise PlanError(f"with_refitted takes several names; give [{tensors!r}]")
        return replace(self, refitted=self.refitted | frozenset(tensors))

    def __str__(self) -> str:
        lines = [f"Plan: {len(self.edits)} axes, {len(self.layouts)} tensors, {len(self.attributes)} attributes"]
        for edit in self.edits:
            note = f"   up to {', '.join(edit.statistics[:2])}" if edit.statistics else ""
            lines.append(f"  {edit.axis:<48} {edit.size:>6} -> {len(edit.keep):<6}{note}")
        lines += [f"  {axis:<48} left as it is: {why}" for axis, why in self.left.items()]
        return "\n".join(lines)
