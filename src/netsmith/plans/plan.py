"""A plan: edits, and all that is needed to carry them out on a model that was never traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

from ..errors import PlanError
from ..wiring.depth import renamed
from ..wiring.layouts import Layout, axis_names, kept_positions, layout_size
from .edits import BlockEdit, Edit, RemoveBlock, ReplaceBlock, ResizeAxis, SetPrecision, Sparsify


@dataclass(frozen=True)
class Plan:
    """What to change in one model.

    A plan stands by itself: ``layouts`` and ``attributes`` say where the edited axes lie, so that ``apply`` and
    ``load`` need neither the wiring nor data. It never holds weights.

    A plan changes widths, blocks, precision or single weights. Plans for one model after the other are chained:
    ``second.after(first)`` is the plan that does both to the model that ``first`` was made for.

    Attributes:
        edits: the changes, each on another axis or another block.
        sizes: units before the plan of every axis that a layout names.
        layouts: for each tensor that changes (parameter or buffer, by its state-dict style name), the layout of each
            of its dimensions.
        attributes: numbers that forward or the constructor reads, key -> (before, after). Keys are
            "module.path:attribute", with "[i]" for items of tuples: "blocks.0.attn:num_heads", ":config.hidden_size".
            Paths are those before the edits.
        fingerprint: of the structure the plan was made for (``netsmith.wiring.fingerprint``).
        refitted: tensors, by their names after the edits, whose values were changed then (repair, recalibration,
            training); ``verify`` compares the others bit by bit.
        left: axes or blocks that were to change and could not -> why: a twin did not run as promised.
        before: plans that are carried out first, in order, none with a ``before`` of its own; this plan is for the
            model that the last of them makes.
    """

    edits: tuple[Edit, ...]
    sizes: Mapping[str, int]
    layouts: Mapping[str, tuple[Layout, ...]]
    attributes: Mapping[str, tuple[float, float]]
    fingerprint: str
    refitted: frozenset[str] = field(default_factory=frozenset)
    left: Mapping[str, str] = field(default_factory=dict)
    before: tuple[Plan, ...] = ()

    def __post_init__(self) -> None:
        if any(plan.before for plan in self.before):
            raise PlanError("a plan that comes before another has none before itself; chain plans with plan.after(...)")
        if any(plan.precisions for plan in self.before):
            raise PlanError("weights are stored as integers last: make the plan of precision after all others")
        self._check_blocks()
        self._check_tensors()
        for edit in self.resizes:
            units = edit.keep
            if not units or list(units) != sorted(set(units)) or units[0] < 0 or units[-1] >= edit.size:
                raise PlanError(
                    f"edit of {edit.axis!r}: keep must be ascending units in 0..{edit.size - 1}, and not empty"
                )
            if self.sizes.get(edit.axis) != edit.size:
                raise PlanError(
                    f"edit of {edit.axis!r}: size {edit.size} disagrees with the plan's {self.sizes.get(edit.axis)}"
                )
        if len({e.axis for e in self.resizes}) != len(self.resizes):
            raise PlanError("two edits change the same axis; make one edit of them")
        for tensor, layouts in self.layouts.items():
            unknown = {a for layout in layouts for a in axis_names(layout)} - set(self.sizes)
            if unknown:
                raise PlanError(f"layout of {tensor!r} names axes without a size: {', '.join(sorted(unknown))}")

    def _check_blocks(self) -> None:
        names = [edit.block for edit in self.block_edits]
        if names and (self.resizes or self.sizes or self.layouts):
            raise PlanError("a plan changes widths or blocks, not both; make two and chain them with plan.after(...)")
        for name in names:
            if not name or names.count(name) > 1:
                raise PlanError(f"block {name!r} is edited twice, or has no name")
            if any(other.startswith(f"{name}.") for other in names):
                raise PlanError(f"an edited block lies inside {name!r}, which is edited too")

    def _check_tensors(self) -> None:
        for edits, what in ((self.precisions, "sets precision"), (self.sparsities, "sets weights to zero")):
            names = [edit.tensor for edit in edits]
            if names and (len(names) < len(self.edits) or self.sizes or self.layouts):
                raise PlanError(f"a plan that {what} changes nothing else; chain plans with plan.after(...)")
            if len(set(names)) != len(names):
                raise PlanError(f"a plan that {what} names a tensor twice; make one edit of them")

    @property
    def resizes(self) -> tuple[ResizeAxis, ...]:
        """The edits of widths; none where blocks change."""
        return tuple(edit for edit in self.edits if isinstance(edit, ResizeAxis))

    @property
    def block_edits(self) -> tuple[BlockEdit, ...]:
        """The edits of blocks; none where widths change."""
        return tuple(edit for edit in self.edits if isinstance(edit, (RemoveBlock, ReplaceBlock)))

    @property
    def precisions(self) -> tuple[SetPrecision, ...]:
        """The edits of precision; none where widths or blocks change."""
        return tuple(edit for edit in self.edits if isinstance(edit, SetPrecision))

    @property
    def sparsities(self) -> tuple[Sparsify, ...]:
        """The edits that set single weights to zero."""
        return tuple(edit for edit in self.edits if isinstance(edit, Sparsify))

    @property
    def steps(self) -> tuple[Plan, ...]:
        """The plans to carry out one after the other; the last is this one without those before it."""
        return (*self.before, replace(self, before=()))

    def after(self, earlier: Plan) -> Plan:
        """This plan, for the model that ``earlier`` makes, as a plan for the model that ``earlier`` was made for."""
        refitted = earlier.refitted
        for plan in self.steps:
            passed = {plan.renamed(name) for name in refitted}
            refitted = frozenset(name for name in passed if name is not None) | plan.refitted
        return replace(self, before=(*earlier.steps, *self.before), refitted=refitted)

    def renamed(self, name: str) -> str | None:
        """What this plan (not those before it) makes of a tensor's or module's name; None for what it takes away."""
        if any(name == e.block or name.startswith(f"{e.block}.") for e in self.block_edits):
            return None
        return renamed(name, [e.block for e in self.block_edits if isinstance(e, RemoveBlock) and e.delete])

    def place(self, block: str) -> str | None:
        """Where what this plan puts in a block's place stands afterwards; None for a block that it deletes."""
        return renamed(block, [e.block for e in self.block_edits if isinstance(e, RemoveBlock) and e.delete])

    @property
    def new_sizes(self) -> dict[str, int]:
        """Units of every axis after the plan."""
        return {**self.sizes, **{e.axis: len(e.keep) for e in self.resizes}}

    def keep(self) -> dict[str, tuple[int, ...]]:
        """Axis -> units that stay, for the axes that lose some."""
        return {e.axis: e.keep for e in self.resizes}

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
        lines = [str(plan) for plan in self.before]
        what = f"{len(self.resizes)} axes, {len(self.layouts)} tensors"
        if self.block_edits:
            what = f"{len(self.block_edits)} blocks"
        if self.precisions:
            what = f"{len(self.precisions)} tensors in integers"
        if self.sparsities:
            what = f"zeros in {len(self.sparsities)} tensors"
        lines.append(f"Plan: {what}, {len(self.attributes)} attributes")
        for edit in self.resizes:
            note = f"   up to {', '.join(edit.statistics[:2])}" if edit.statistics else ""
            lines.append(f"  {edit.axis:<48} {edit.size:>6} -> {len(edit.keep):<6}{note}")
        for block in self.block_edits:
            how = "removed" if isinstance(block, RemoveBlock) else f"replaced by a {block.kind} map of {block.width}"
            lines.append(f"  {block.block:<48} {how}")
        for p in self.precisions:
            scales = f"a scale for {p.group} inputs" if p.group else "a scale an output"
            lines.append(f"  {p.tensor:<48} int{p.bits}, {scales}, clipped by {p.clip}{', dynamic' * p.dynamic}")
        for z in self.sparsities:
            count = sum(byte.bit_count() for byte in z.zeros)
            lines.append(
                f"  {z.tensor:<48} {count:,} of {prod(z.shape):,} weights become zero {z.pattern or ''}".rstrip()
            )
        lines += [f"  {axis:<48} left as it is: {why}" for axis, why in self.left.items()]
        return "\n".join(lines)
