"""A plan: edits, and all that is needed to carry them out on a model that was never traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..errors import PlanError
from ..wiring.depth import renamed, renamed_behind
from ..wiring.layouts import Layout, axis_names, kept_positions, layout_size, position_shares
from .edits import BlockEdit, Edit, FuseLayers, InsertBlock, RemoveBlock, ReplaceBlock, ResizeAxis, WidenAxis


@dataclass(frozen=True)
class Plan:
    """What to change in one model.

    A plan stands by itself: ``layouts`` and ``attributes`` say where the edited axes lie, so that ``apply`` and
    ``load`` need neither the wiring nor data. It never holds weights.

    A plan does one kind of thing: it removes units, widens axes, takes out or replaces blocks, inserts blocks, or
    merges layers. Plans for one model after the other are chained: ``second.after(first)`` is the plan that does both to the
    model that ``first`` was made for.

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
        self._check_blocks()
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
        for wider in self.widenings:
            self._check_widening(wider)
        if len({e.axis for e in self.resizes} | {e.axis for e in self.widenings}) != len(self.resizes + self.widenings):
            raise PlanError("two edits change the same axis; make one edit of them")
        for tensor, layouts in self.layouts.items():
            unknown = {a for layout in layouts for a in axis_names(layout)} - set(self.sizes)
            if unknown:
                raise PlanError(f"layout of {tensor!r} names axes without a size: {', '.join(sorted(unknown))}")

    def _check_blocks(self) -> None:
        names = [edit.block for edit in (*self.block_edits, *self.insertions)]
        if names and (self.resizes or self.widenings or self.sizes or self.layouts):
            raise PlanError("a plan changes widths or blocks, not both; make two and chain them with plan.after(...)")
        if (self.resizes and self.widenings) or (self.block_edits and self.insertions):
            raise PlanError("a plan removes or adds, not both; make two and chain them with plan.after(...)")
        fused = [layer for edit in self.fusions for layer in edit.layers]
        if fused and (names or self.resizes or self.sizes or self.layouts):
            raise PlanError("a plan that fuses layers does nothing else; make two and chain them with plan.after(...)")
        for edit in self.fusions:
            if edit.into not in edit.layers or any(not then.startswith(f"{edit.layers[-1]}.") for then in edit.then):
                raise PlanError(
                    f"fusion into {edit.into!r}: it must be one of its layers, and then lie in the last one"
                )
        names = [*names, *fused]
        for name in names:
            if not name or names.count(name) > 1:
                raise PlanError(f"block {name!r} is edited twice, or has no name")
            if any(other.startswith(f"{name}.") for other in names):
                raise PlanError(f"an edited block lies inside {name!r}, which is edited too")

    def _check_widening(self, edit: WidenAxis) -> None:
        where = f"edit of {edit.axis!r}"
        if self.sizes.get(edit.axis) != edit.size:
            raise PlanError(f"{where}: size {edit.size} disagrees with the plan's {self.sizes.get(edit.axis)}")
        if set(edit.source) != set(range(edit.size)) or len(edit.share) != len(edit.source):
            raise PlanError(f"{where}: source must name each unit in 0..{edit.size - 1}, with one share for each copy")
        sums = [0.0] * edit.size
        for unit, share in zip(edit.source, edit.share, strict=True):
            sums[unit] += share
        if min(edit.share) <= 0 or any(abs(total - 1) > 1e-6 for total in sums):
            raise PlanError(f"{where}: the shares of the copies of a unit must be positive and add up to 1")
        for tensor, dim in edit.divided:
            dims = self.layouts.get(tensor, ())
            if not 0 <= dim < len(dims) or edit.axis not in axis_names(dims[dim]):
                raise PlanError(f"{where}: it does not lie in dimension {dim} of {tensor!r}")

    @property
    def resizes(self) -> tuple[ResizeAxis, ...]:
        """The edits that remove units; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, ResizeAxis))

    @property
    def widenings(self) -> tuple[WidenAxis, ...]:
        """The edits that copy units; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, WidenAxis))

    @property
    def block_edits(self) -> tuple[BlockEdit, ...]:
        """The edits that take out or replace blocks; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, RemoveBlock | ReplaceBlock))

    @property
    def insertions(self) -> tuple[InsertBlock, ...]:
        """The edits that insert blocks; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, InsertBlock))

    @property
    def grows(self) -> bool:
        """Whether this plan (not those before it) only adds, and so leaves the outputs as they are."""
        return bool(self.widenings or self.insertions)

    @property
    def fusions(self) -> tuple[FuseLayers, ...]:
        """The exact merges of layers; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, FuseLayers))

    @property
    def steps(self) -> tuple[Plan, ...]:
        """The plans to carry out one after the other; the last is this one without those before it."""
        return (*self.before, replace(self, before=()))

    def after(self, earlier: Plan) -> Plan:
        """This plan, for the model that ``earlier`` makes, as a plan for the model that ``earlier`` was made for."""
        refitted = earlier.refitted
        for plan in self.steps:
            passed = {plan.renamed(name) for name in refitted}
            passed |= {f"{e.place}.{kind}" for e in plan.fusions if e.reads(refitted) for kind in ("weight", "bias")}
            refitted = frozenset(name for name in passed if name is not None) | plan.refitted
        return replace(self, before=(*earlier.steps, *self.before), refitted=refitted)

    def renamed(self, name: str) -> str | None:
        """What this plan (not those before it) makes of a tensor's or module's name; None for what it takes away."""
        if any(name == e.block or name.startswith(f"{e.block}.") for e in self.block_edits):
            return None
        if self.insertions:
            return renamed_behind(name, [e.block for e in self.insertions])
        if self.fusions:
            found = (e.renamed(name) for e in self.fusions if any(_lies_in(name, layer) for layer in e.layers))
            return next(found, name)
        return renamed(name, [e.block for e in self.block_edits if isinstance(e, RemoveBlock) and e.delete])

    def place(self, block: str) -> str | None:
        """Where what this plan puts in a block's place stands afterwards; None for a block that it deletes."""
        return renamed(block, [e.block for e in self.block_edits if isinstance(e, RemoveBlock) and e.delete])

    @property
    def new_sizes(self) -> dict[str, int]:
        """Units of every axis after the plan."""
        wider = {e.axis: len(e.source) for e in self.widenings}
        return {**self.sizes, **{e.axis: len(e.keep) for e in self.resizes}, **wider}

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

    def taken(self, tensor: str) -> dict[int, list[int]]:
        """Dimension -> for each position after the plan the one it comes from, for the dimensions that change."""
        units: dict[str, tuple[int, ...]] = {**self.keep(), **{e.axis: e.source for e in self.widenings}}
        return {
            dim: kept_positions(layout, self.sizes, units)
            for dim, layout in enumerate(self.layouts[tensor])
            if any(name in units for name in axis_names(layout))
        }

    def shares(self, tensor: str, *, divided: bool = True) -> dict[int, list[float]]:
        """Dimension -> the share of each position after the plan, for dimensions that are divided among copies.

        ``divided=False``: for those that are not, and hold whole copies: the share of the gradient that they get.
        """
        result = {}
        for dim, layout in enumerate(self.layouts[tensor]):
            shares = {e.axis: e.share for e in self.widenings if ((tensor, dim) in e.divided) is divided}
            shares = {axis: share for axis, share in shares.items() if axis in axis_names(layout)}
            if shares:
                result[dim] = position_shares(layout, self.new_sizes, shares)
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
        what = f"{len(self.resizes) + len(self.widenings)} axes, {len(self.layouts)} tensors"
        blocks = len(self.block_edits) + len(self.insertions)
        if blocks:
            what = f"{blocks} blocks"
        if self.fusions:
            what = f"{len(self.fusions)} exact merges"
        lines.append(f"Plan: {what}, {len(self.attributes)} attributes")
        for edit in self.resizes:
            note = f"   up to {', '.join(edit.statistics[:2])}" if edit.statistics else ""
            lines.append(f"  {edit.axis:<48} {edit.size:>6} -> {len(edit.keep):<6}{note}")
        for fused in self.fusions:
            lines.append(f"  {fused.place:<48} computes what {', '.join(fused.layers)} did")
        for block in self.block_edits:
            how = "removed" if isinstance(block, RemoveBlock) else f"replaced by a {block.kind} map of {block.width}"
            lines.append(f"  {block.block:<48} {how}")
        lines += [f"  {wider.axis:<48} {wider.size:>6} -> {len(wider.source):<6}" for wider in self.widenings]
        lines += [f"  {insertion.block:<48} a copy of it behind it" for insertion in self.insertions]
        lines += [f"  {axis:<48} left as it is: {why}" for axis, why in self.left.items()]
        return "\n".join(lines)


def _lies_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")
