"""From wanted widths to a plan that is known to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..errors import EvidenceError, ModelError, PlanError
from ..scores import Score, Weights
from ..wiring import Axis, Wiring
from ..wiring.layouts import axis_names
from ..wiring.proof import replay
from .edits import ResizeAxis
from .plan import Plan
from .sizing import Sizing, solve

_MOST_REPLAYS = 25


def rounded(size: int, full: int, round_to: int | None) -> int:
    """A width that is allowed: 1..full, and a multiple of ``round_to`` where the full width is larger than that."""
    if round_to is None or full <= round_to:
        return max(1, min(size, full))
    return max(round_to, min(round(size / round_to) * round_to, full))


def proven_sizing(wiring: Wiring, targets: Mapping[str, int]) -> tuple[Sizing, dict[str, str]]:
    """A sizing near the targets with which a twin of the model runs call by call as promised.

    Returns:
        The sizing, and axis -> reason for the axes that had to keep their size after all.

    Raises:
        PlanError: no sizing survives.
    """
    targets = dict(targets)
    given_up: dict[str, str] = {}
    why = ""
    for _ in range(_MOST_REPLAYS):
        sizing = solve(wiring, targets)
        divergence = replay(wiring, sizing.sizes, sizing.attributes)
        if divergence is None:
            return sizing, given_up
        for name in divergence.axes:
            given_up[name] = divergence.why
            targets.pop(name, None)
        why = divergence.why
    raise PlanError(f"no choice of widths runs as promised; the last try failed with: {why}")


def plan_for(wiring: Wiring, sizing: Sizing, choose: Mapping[str, Sequence[int]]) -> Plan:
    """The plan that gives every axis its size, keeping the chosen units.

    Args:
        wiring: of the model.
        sizing: proven sizes.
        choose: axis -> the units that stay, for every axis whose size changes.
    """
    edits = tuple(
        ResizeAxis(axis.name, axis.size, tuple(sorted(choose[axis.name])), axis.statistics)
        for axis in wiring.axes
        if sizing.sizes[axis.name] != axis.size
    )
    changed = {edit.axis for edit in edits}
    layouts = {
        tensor: dims
        for tensor, dims in wiring.layouts.items()
        if any(name in changed for layout in dims for name in axis_names(layout))
    }
    named = {name for dims in layouts.values() for layout in dims for name in axis_names(layout)}
    attributes = {
        key: (before, sizing.attributes[key])
        for key, before in wiring.attributes.items()
        if sizing.attributes[key] != before
    }
    sizes = {name: wiring.sizes[name] for name in sorted(named | changed)}
    return Plan(edits, sizes, layouts, attributes, wiring.fingerprint)


def best_units(axis: Axis, score: torch.Tensor, count: int) -> tuple[int, ...]:
    """The ``count`` units with the highest score, ascending; pinned units always stay; ties go to the lower unit."""
    ranked = sorted(range(axis.size), key=lambda u: (u not in axis.pinned, -float(score[u]), u))
    return tuple(sorted(ranked[:count]))


def scored(wiring: Wiring, axis: Axis, score: Score) -> torch.Tensor:
    """The score of each unit, checked.

    Raises:
        EvidenceError: the function returned something other than one finite number per unit.
        ModelError: the weights are on ``meta`` or hold NaN or infinity.
    """
    tensors = {m.tensor: wiring.tensors[m.tensor] for m in axis.members}
    if any(t.is_meta for t in tensors.values()):
        raise ModelError(
            f"axis {axis.name!r} has weights on 'meta'; load them before scoring, or pass a score that needs none"
        )
    values = score(axis, Weights(tensors))
    if not isinstance(values, torch.Tensor) or tuple(values.shape) != (axis.size,):
        got = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise EvidenceError(
            f"score {_name(score)} gave {got} for axis {axis.name!r}; expected ({axis.size},), one number per unit"
        )
    if not torch.isfinite(values).all():
        bad = [name for name, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
        if bad:
            raise ModelError(
                f"weights are not finite (NaN or infinity): {', '.join(bad[:8])}. Load a sound checkpoint."
            )
        raise EvidenceError(f"score {_name(score)} gave NaN or infinity for axis {axis.name!r}")
    return values


def _name(score: Score) -> str:
    return getattr(score, "__name__", type(score).__name__)
