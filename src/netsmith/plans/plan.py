"""A plan: edits, and all that is needed to carry them out on a model that was never traced."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..errors import PlanError
from ..wiring.depth import parent_of, renamed, renamed_behind
from ..wiring.layouts import Layout, axis_names, kept_positions, layout_size, position_shares
from .checking import check_plan
from .edits import (
    BlockEdit,
    Edit,
    FuseLayers,
    InsertBlock,
    InsertIdentity,
    Insertion,
    MergeBlocks,
    RemoveBlock,
    RemoveBranch,
    ReplaceBlock,
    ResizeAxis,
    SetPrecision,
    Sparsify,
    WidenAxis,
)


@dataclass(frozen=True)
class Plan:
    """What to change in one model.

    A plan stands by itself: ``layouts`` and ``attributes`` say where the edited axes lie, so that ``apply`` and
    ``load`` need neither the wiring nor data. It never holds weights.

    A plan does one kind of thing: it removes units, widens axes, takes out or replaces blocks, inserts blocks,
    merges layers, stores weights as integers, or sets single weights to zero. Plans for one model after the other are
    chained: ``second.after(first)`` is the plan that does both to the model that ``first`` was made for.

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
        check_plan(self)

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
        return tuple(edit for edit in self.edits if isinstance(edit, RemoveBlock | RemoveBranch | ReplaceBlock))

    @property
    def insertions(self) -> tuple[Insertion, ...]:
        """The edits that insert blocks; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, InsertBlock | InsertIdentity))

    @property
    def grows(self) -> bool:
        """Whether this plan (not those before it) only adds, and so leaves the outputs as they are."""
        return bool(self.widenings or self.insertions)

    @property
    def fusions(self) -> tuple[FuseLayers, ...]:
        """The exact merges of layers; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, FuseLayers))

    @property
    def precisions(self) -> tuple[SetPrecision, ...]:
        """The edits that store weights as integers; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, SetPrecision))

    @property
    def sparsities(self) -> tuple[Sparsify, ...]:
        """The edits that set single weights to zero; none where anything else changes."""
        return tuple(edit for edit in self.edits if isinstance(edit, Sparsify))

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the modules that the edits name."""
        return tuple(path for edit in (*self.block_edits, *self.insertions, *self.fusions) for path in edit.modules)

    @property
    def steps(self) -> tuple[Plan, ...]:
        """The plans to carry out one after the other; the last is this one without those before it."""
        return (*self.before, replace(self, before=()))

    @property
    def all_left(self) -> dict[str, str]:
        """What this plan and those before it left as it was -> why."""
        return {name: why for step in self.steps for name, why in step.left.items()}

    def after(self, earlier: Plan) -> Plan:
        """This plan, for the model that ``earlier`` makes, as a plan for the model that ``earlier`` was made for."""
        refitted = earlier.refitted
        for plan in self.steps:
            passed = {plan.renamed(name) for name in refitted} | plan._made_of(refitted)
            refitted = frozenset(name for name in passed if name is not None) | plan.refitted
        return replace(self, before=(*earlier.steps, *self.before), refitted=refitted)

    def renamed(self, name: str) -> str | None:
        """What this plan (not those before it) makes of a tensor's or module's name; None for what it takes away."""
        if any(name == path or name.startswith(f"{path}.") for e in self.block_edits for path in e.modules):
            return None
        if self.insertions:
            return renamed_behind(name, [e.block for e in self.insertions])
        if self.fusions:
            found = (e.renamed(name) for e in self.fusions if any(_lies_in(name, layer) for layer in e.layers))
            return next(found, name)
        return renamed(name, [e.block for e in self.block_edits if isinstance(e, RemoveBlock) and e.delete])

    def _made_of(self, tensors: Collection[str]) -> set[str | None]:
        """Tensors elsewhere that take values from these: of merged layers and blocks, and of copies."""
        made: set[str | None] = {
            f"{e.place}.{kind}" for e in self.fusions if e.reads(tensors) for kind in ("weight", "bias")
        }
        for name in tensors:
            for e in (e for e in self.insertions if isinstance(e, InsertBlock)):
                inner = name.removeprefix(f"{e.block}.")
                if inner not in (name, *e.zeros):
                    made.add(f"{self.place_behind(e.block)}.{inner}")
            for merge in self.block_edits:
                if isinstance(merge, MergeBlocks) and merge.how != "first" and name.startswith(f"{merge.block}."):
                    made.add(self.renamed(merge.into + name.removeprefix(merge.block)))
        return made

    def place_behind(self, block: str) -> str:
        """Where the copy of a block stands that this plan inserts."""
        parent, name = parent_of(self.renamed(block) or block)
        name = str(int(name) + 1) if name.isdecimal() else f"{name}_copy"
        return f"{parent}.{name}".lstrip(".")

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
        axes, blocks = len(self.resizes) + len(self.widenings), len(self.block_edits) + len(self.insertions)
        what = f"{axes} axes, {len(self.layouts)} tensors"
        if blocks:
            what = f"{blocks} blocks"
        elif self.fusions:
            what = f"{len(self.fusions)} exact merges"
        elif self.precisions:
            what = f"{len(self.precisions)} tensors in integers"
        elif self.sparsities:
            what = f"zeros in {len(self.sparsities)} tensors"
        lines.append(f"Plan: {what}, {len(self.attributes)} attributes")
        lines += [f"  {edit}" for edit in self.edits]
        lines += [f"  {axis:<48} left as it is: {why}" for axis, why in self.left.items()]
        return "\n".join(lines)


def _lies_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")
