"""What a plan made of a network's axes and blocks, in the order in which the original's forward meets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..plans.edits import InsertBlock
from ..plans.plan import Plan
from ..wiring import Axis, Block, Branch, Transition, Wiring
from ..wiring.layouts import axis_names
from .record import AxisRecord, BlockRecord

GONE = "removed with what it lies in"


def axes_of(wiring: Wiring, plan: Plan) -> tuple[AxisRecord, ...]:
    """Width of every axis before and after; 0 after where all that it ran through is gone.

    Sizes of kernels and the like are no widths and are left out. What an inserted block brings has 0 before, and stands
    behind what it was copied from.

    Args:
        wiring: of the original.
        plan: what was done to it.
    """
    places = {id(axis): place for place, axis in enumerate(_in_call_order(wiring))}
    axes = sorted((axis for axis in wiring.axes if _is_width(axis)), key=lambda axis: places[id(axis)])
    records = []
    for axis in axes:
        records.append(AxisRecord(name=axis.name, before=axis.size, after=_width_after(axis, plan), frozen=axis.frozen))
        records += _copies(axis, plan)
    return tuple(records)


def blocks_of(
    wiring: Wiring,
    plan: Plan,
    *,
    influence: Mapping[str, float] | None = None,
    sensitivity: Mapping[str, float] | None = None,
) -> tuple[BlockRecord, ...]:
    """What became of every block with a shortcut, every branch, and every other part that changed or was measured.

    Args:
        wiring: of the original.
        plan: what was done to it.
        influence: block or branch -> nats, where that was measured.
        sensitivity: block or branch -> error when it alone is changed.
    """
    influence, sensitivity = influence or {}, sensitivity or {}
    fates = {name: _fate(name, plan) for name in wiring.parts}

    def told(part: Block) -> bool:
        measured = part.name in influence or part.name in sensitivity
        return part.residual or isinstance(part, Branch | Transition) or measured or fates[part.name] not in _DULL

    parts = sorted(wiring.parts.values(), key=lambda part: (part.first_call, -part.last_call))
    return tuple(
        BlockRecord(
            name=part.name,
            fate=fates[part.name],
            influence=influence.get(part.name),
            sensitivity=sensitivity.get(part.name),
        )
        for part in parts
        if told(part)
    )


_DULL = ("kept", GONE)


def _in_call_order(wiring: Wiring) -> list[Axis]:
    """Axes by the first call that sees them; those that no call sees come last."""
    seen: dict[str, None] = {}
    for call in wiring.calls:
        for layout in (layout for tensor in (*call.inputs, *call.outputs) for layout in tensor):
            seen.update(dict.fromkeys(axis_names(layout)))
    met = [wiring.axis[name] for name in seen if name in wiring.axis]
    return met + [axis for axis in wiring.axes if axis.name not in seen]


def _is_width(axis: Axis) -> bool:
    own = [member for member in axis.members if member.trainable]
    return axis.size > 1 and bool(own) and (axis.frozen is None or any(member.dim < 2 for member in own))


def _width_after(axis: Axis, plan: Plan) -> int:
    """Follows the tensors in which the axis lies through all plans: each names its axes after its own model's tensors.

    The axis is recognized by its place in a dimension, and by its size.
    """
    places = [
        (member.tensor, member.dim, list(axis_names(member.layout)).index(axis.name))
        for member in axis.members
        if member.trainable
    ]
    size = axis.size
    for step in plan.steps:
        found = (_new_size(step, *place, size) for place in places)
        new = next((width for width in found if width is not None), size)
        places = [(name, dim, at) for tensor, dim, at in places if (name := step.renamed(tensor)) is not None]
        if not places:
            return 0
        size = new
    return size


def _new_size(step: Plan, tensor: str, dim: int, at: int, size: int) -> int | None:
    layouts = step.layouts.get(tensor, ())
    names = list(axis_names(layouts[dim])) if dim < len(layouts) else []
    if at >= len(names) or step.sizes[names[at]] != size:
        return None
    return step.new_sizes[names[at]]


def _copies(axis: Axis, plan: Plan) -> Iterator[AxisRecord]:
    """One record for each inserted copy of a block that holds the axis' every parameter."""
    tensors = [member.tensor for member in axis.members if member.trainable]
    for step in plan.steps:
        for edit in step.insertions:
            if isinstance(edit, InsertBlock) and all(tensor.startswith(f"{edit.block}.") for tensor in tensors):
                yield AxisRecord(name=f"copy of {axis.name}", before=0, after=_width_after(axis, plan))


def _fate(name: str, plan: Plan) -> str:
    """What became of a block or branch: the words of the edits on it, through all plans."""
    words: list[str] = []
    now: str | None = name
    for step in plan.steps:
        edits = [edit for edit in (*step.block_edits, *step.insertions) if edit.block == now]
        words += [edit.words for edit in edits]
        now = None if now is None else step.renamed(now)
    return ", ".join(words) or ("kept" if now is not None else GONE)
