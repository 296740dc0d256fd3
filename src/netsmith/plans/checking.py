"""What a plan must be before anything is done with it: of one kind, and free of contradictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PlanError
from ..wiring.layouts import axis_names
from .edits import (
    AxisEdit,
    FuseLayers,
    InsertBlock,
    InsertIdentity,
    MergeBlocks,
    RemoveBlock,
    RemoveBranch,
    ReplaceBlock,
    ResizeAxis,
    SetPrecision,
    Sparsify,
    WidenAxis,
)

if TYPE_CHECKING:
    from .plan import Plan

_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("removes units", (ResizeAxis,)),
    ("widens axes", (WidenAxis,)),
    ("takes out or replaces blocks", (RemoveBlock, RemoveBranch, ReplaceBlock)),
    ("inserts blocks", (InsertBlock, InsertIdentity)),
    ("merges layers", (FuseLayers,)),
    ("sets precision", (SetPrecision,)),
    ("sets weights to zero", (Sparsify,)),
)
_OF_WIDTHS = (ResizeAxis, WidenAxis)


def check_plan(plan: Plan) -> None:
    """Raise PlanError where a plan does several kinds of things, or contradicts itself."""
    if any(step.before for step in plan.before):
        raise PlanError("a plan that comes before another has none before itself; chain plans with plan.after(...)")
    if any(step.precisions for step in plan.before):
        raise PlanError("weights are stored as integers last: make the plan of precision after all others")
    found = [what for what, kinds in _KINDS if any(isinstance(edit, kinds) for edit in plan.edits)]
    if len(found) > 1:
        raise PlanError(f"one plan {' and '.join(found)}; make two and chain them with plan.after(...)")
    if any(not isinstance(edit, _OF_WIDTHS) for edit in plan.edits) and (plan.sizes or plan.layouts):
        raise PlanError(
            "only a plan that changes widths has layouts; make two plans and chain them with plan.after(...)"
        )
    for tensor, layouts in plan.layouts.items():
        unknown = {a for layout in layouts for a in axis_names(layout)} - set(plan.sizes)
        if unknown:
            raise PlanError(f"layout of {tensor!r} names axes without a size: {', '.join(sorted(unknown))}")
    _check_axes(plan)
    _check_modules(plan)
    _check_tensors(plan)


def _check_axes(plan: Plan) -> None:
    for edit in plan.resizes:
        units = edit.keep
        if not units or list(units) != sorted(set(units)) or units[0] < 0 or units[-1] >= edit.size:
            raise PlanError(f"edit of {edit.axis!r}: keep must be ascending units in 0..{edit.size - 1}, and not empty")
    axes: list[AxisEdit] = [*plan.resizes, *plan.widenings]
    for each in axes:
        if plan.sizes.get(each.axis) != each.size:
            raise PlanError(
                f"edit of {each.axis!r}: size {each.size} disagrees with the plan's {plan.sizes.get(each.axis)}"
            )
    for wider in plan.widenings:
        _check_widening(plan, wider)
    if len({each.axis for each in axes}) != len(axes):
        raise PlanError("two edits change the same axis; make one edit of them")


def _check_widening(plan: Plan, edit: WidenAxis) -> None:
    where = f"edit of {edit.axis!r}"
    if set(edit.source) != set(range(edit.size)) or len(edit.share) != len(edit.source):
        raise PlanError(f"{where}: source must name each unit in 0..{edit.size - 1}, with one share for each copy")
    sums = [0.0] * edit.size
    for unit, share in zip(edit.source, edit.share, strict=True):
        sums[unit] += share
    if min(edit.share) <= 0 or any(abs(total - 1) > 1e-6 for total in sums):
        raise PlanError(f"{where}: the shares of the copies of a unit must be positive and add up to 1")
    for tensor, dim in edit.divided:
        dims = plan.layouts.get(tensor, ())
        if not 0 <= dim < len(dims) or edit.axis not in axis_names(dims[dim]):
            raise PlanError(f"{where}: it does not lie in dimension {dim} of {tensor!r}")


def _check_modules(plan: Plan) -> None:
    names = plan.modules
    merges = [edit for edit in plan.block_edits if isinstance(edit, MergeBlocks)]
    for into in {edit.into for edit in merges}:
        if not into or any(f"{name}.".startswith(f"{into}.") or f"{into}.".startswith(f"{name}.") for name in names):
            raise PlanError(
                f"blocks are merged into {into!r}, which is edited too, lies in one that is, or has no name"
            )
        if len({edit.how for edit in merges if edit.into == into}) > 1:
            raise PlanError(f"blocks are merged into {into!r} in more than one way")
    for name in names:
        if not name or names.count(name) > 1:
            raise PlanError(f"block {name!r} is edited twice, or has no name")
        if any(other.startswith(f"{name}.") for other in names):
            raise PlanError(f"an edited block lies inside {name!r}, which is edited too")
    for edit in plan.block_edits:
        if isinstance(edit, RemoveBranch) and (
            edit.modules[-1:] != (edit.block,) or len(edit.modules) != len(edit.returns)
        ):
            raise PlanError(f"branch {edit.block!r} does not end its modules, or they are not as many as returns")
        if isinstance(edit, ReplaceBlock) and edit.kind != "conv2d" and not edit.keeps_shape:
            raise PlanError(f"block {edit.block!r}: only a conv2d map has other outputs, a stride or a kernel")
    for inserted in plan.insertions:
        if isinstance(inserted, InsertIdentity):
            _check_identity(inserted)
    for fusion in plan.fusions:
        if fusion.into not in fusion.layers or any(not t.startswith(f"{fusion.layers[-1]}.") for t in fusion.then):
            raise PlanError(f"fusion into {fusion.into!r}: it must be one of its layers, and then lie in the last one")


def _check_identity(edit: InsertIdentity) -> None:
    where = f"identity behind {edit.block!r}"
    dims = 0 if edit.kind == "linear" else int(edit.kind[-2])
    if len(edit.kernel) != dims or any(k < 1 or k % 2 == 0 for k in edit.kernel):
        raise PlanError(f"{where}: the kernel of {edit.kind} must be {dims} odd numbers")
    if edit.limits is not None and not edit.limits[0] < edit.limits[1]:
        raise PlanError(f"{where}: the lower limit of its rectifier is not below the upper one")
    if edit.norm is not None and not edit.norm >= 0:
        raise PlanError(f"{where}: the epsilon of its normalization is below 0")


def _check_tensors(plan: Plan) -> None:
    names = [*(edit.tensor for edit in plan.precisions), *(edit.tensor for edit in plan.sparsities)]
    if len(set(names)) != len(names):
        raise PlanError("two edits change the same tensor; make one edit of them")
