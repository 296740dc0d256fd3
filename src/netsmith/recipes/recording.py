"""What ``run.json`` says of a run: its steps, and the network's axes and blocks before and after."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..costs import Cost
from ..plans import Plan
from ..reports.record import AxisRecord, BlockRecord, CheckRecord, ClassesRecord, CostRecord, StepRecord
from ..wiring import Wiring, tensor_slots
from .reading import NamedStep
from .work import Done


def cost_record(cost: Cost) -> CostRecord:
    return CostRecord(params=cost.params, macs=cost.macs, bytes=cost.bytes, latency_ms=cost.latency_ms)


def step_record(
    step: NamedStep,
    done: Done,
    *,
    seconds: float,
    more: Mapping[str, Any],
    classes: ClassesRecord | None,
) -> StepRecord:
    """Of a step that came to its end."""
    last = done.rows[-1] if done.rows else None
    return StepRecord(
        name=step.name,
        kind=step.kind,
        asked={"from": step.source, **step.options.asked(), **more},
        seconds=round(seconds, 3),
        cost=None if last is None else cost_record(last.cost),
        scores={} if last is None else dict(last.scores),
        classes=classes,
        checks=tuple(CheckRecord(name=n, status=s, detail=d) for n, s, d in done.checks),  # type: ignore[arg-type]
        left=dict(done.left),
        said=done.said,
    )


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    processor = platform.processor() or platform.machine()
    return {
        "processor": processor,
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "netsmith": __version__,
    }


def names_after(names: list[str], plan: Plan) -> dict[str, str | None]:
    """What the steps of a plan make of the names of tensors or modules; None for what they take away."""
    now: dict[str, str | None] = {name: name for name in names}
    for step in plan.steps:
        now = {name: None if other is None else step.renamed(other) for name, other in now.items()}
    return now


def axis_records(wiring: Wiring, plan: Plan | None, final: nn.Module) -> tuple[AxisRecord, ...]:
    """Width of each axis of the original before and after, read off a tensor in which it lies by itself."""
    axes = [axis for axis in wiring.axes if axis.size > 1]
    if plan is None:
        return ()
    tensors = sorted({member.tensor for axis in axes for member in axis.members})
    renamed = names_after(tensors, plan)
    shapes = {slot.name: tuple(slot.tensor.shape) for slot in tensor_slots(final)}
    found = []
    for axis in axes:
        after = axis.size
        alone = [m for m in axis.members if wiring.tensors[m.tensor].shape[m.dim] == axis.size]
        if alone:
            names = [(renamed[member.tensor], member.dim) for member in alone]
            sizes = [shapes[n][d] for n, d in names if n is not None and n in shapes and d < len(shapes[n])]
            after = sizes[0] if sizes else 0
        elif any(axis.name in step.new_sizes for step in plan.steps):
            after = next(step.new_sizes[axis.name] for step in reversed(plan.steps) if axis.name in step.new_sizes)
        found.append(AxisRecord(name=axis.name, before=axis.size, after=after, frozen=axis.frozen))
    return tuple(found)


def block_records(wiring: Wiring, plan: Plan | None, influence: Mapping[str, float]) -> tuple[BlockRecord, ...]:
    """What became of each block and branch of the original that can be cut or was.

    Args:
        influence: by the original's names, where it was measured.
    """
    fates = {} if plan is None else _fates(list(wiring.parts), plan)
    return tuple(
        BlockRecord(name=name, fate=fates.get(name, "kept"), influence=influence.get(name))
        for name, part in wiring.parts.items()
        if part.residual or name in fates or name in influence
    )


def _fates(names: list[str], plan: Plan) -> dict[str, str]:
    fates: dict[str, str] = {}
    now: dict[str, str | None] = {name: name for name in names}
    for step in plan.steps:
        words = {edit.block: edit.words for edit in step.block_edits}
        fates |= {name: words[other] for name, other in now.items() if other is not None and other in words}
        now = {name: None if other is None else step.renamed(other) for name, other in now.items()}
        for name, other in now.items():
            if other is None:
                fates.setdefault(name, "removed")
    return fates
