"""From wanted widths to a plan that is known to run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from ..errors import EvidenceError, ModelError
from ..scores import Score, Weights
from ..wiring import Axis, Wiring
from ..wiring.layouts import axis_names
from ..wiring.proof import replay
from .configuration import settle_configuration
from .edits import AxisEdit, ResizeAxis
from .plan import Plan
from .sizing import Sizing, solve

_MOST_REPLAYS = 25


def rounded(axis: Axis, size: int, round_to: int | None) -> int:
    """A width that the axis may have, near ``size``.

    1..axis.size, and a multiple of ``round_to`` where the axis is wider than that. What a kernel wants always holds:
    an axis too narrow for it keeps its size.
    """
    if size >= axis.size:
        return axis.size
    step = math.lcm(round_to or 1, axis.multiple_of)
    if axis.size <= step:
        step = axis.multiple_of
        if 1 < axis.size <= step:
            return axis.size
    return max(step, len(axis.pinned), min(round(size / step) * step, axis.size - axis.size % step))


def proven_sizing(wiring: Wiring, targets: Mapping[str, int]) -> tuple[Sizing, dict[str, str]]:
    """A sizing near the targets with which a twin of the model runs call by call as promised.

    Returns:
        The sizing, and axis -> reason for the axes that had to keep their size after all. Where nothing survives the
        sizing changes nothing.
    """
    targets = dict(targets)
    given_up: dict[str, str] = {}
    for attempt in range(_MOST_REPLAYS):
        sizing = solve(wiring, targets)
        if all(size == wiring.sizes[name] for name, size in sizing.sizes.items()):
            return sizing, given_up
        divergence = replay(wiring, sizing.sizes, sizing.attributes)
        if divergence is None:
            return sizing, given_up
        last = attempt == _MOST_REPLAYS - 2  # then change nothing: always right
        for name in targets if last else divergence.axes:
            given_up[name] = divergence.why
        targets = {name: size for name, size in targets.items() if name not in given_up}
    return solve(wiring, {}), given_up


def plan_for(
    wiring: Wiring, sizing: Sizing, choose: Mapping[str, Sequence[int]], left: Mapping[str, str] | None = None
) -> Plan:
    """The plan that gives every axis its size, keeping the chosen units.

    Args:
        wiring: of the model.
        sizing: proven sizes.
        choose: axis -> the units that stay, for every axis whose size changes.
        left: axis -> why it keeps its size although it was to change.
    """
    edits = tuple(
        ResizeAxis(axis.name, axis.size, tuple(sorted(choose[axis.name])), axis.statistics)
        for axis in wiring.axes
        if sizing.sizes[axis.name] != axis.size
    )
    return plan_of(wiring, sizing, edits, left)


def plan_of(wiring: Wiring, sizing: Sizing, edits: tuple[AxisEdit, ...], left: Mapping[str, str] | None = None) -> Plan:
    """The plan with these edits of axes: where they lie, and the numbers that follow."""
    changed = {edit.axis for edit in edits}
    layouts = {
        tensor: dims
        for tensor, dims in wiring.layouts.items()
        if any(name in changed for layout in dims for name in axis_names(layout))
    }
    # the further names of tied tensors too: the plan may be carried out on a copy whose ties were lost
    layouts |= {alias: layouts[first] for alias, first in wiring.aliases.items() if first in layouts}
    named = {name for dims in layouts.values() for layout in dims for name in axis_names(layout)}
    attributes: dict[str, tuple[float, float]] = {
        key: (before, sizing.attributes[key])
        for key, before in wiring.attributes.items()
        if sizing.attributes[key] != before
    }
    if edits:
        attributes |= settle_configuration(wiring, sizing)
    sizes = {name: wiring.sizes[name] for name in sorted(named | changed)}
    return Plan(edits, sizes, layouts, attributes, wiring.fingerprint, left=dict(left or {}))


def best_units(axis: Axis, score: torch.Tensor, count: int) -> tuple[int, ...]:
    """The ``count`` units with the highest score, ascending; pinned units always stay; ties go to the lower unit."""
    return tuple(sorted(ranked_units(axis, score)[:count]))


def ranked_units(axis: Axis, score: torch.Tensor) -> tuple[int, ...]:
    """All units, those that stay longest first: pinned ones, then by score; ties go to the lower unit."""
    values = score.tolist()
    return tuple(sorted(range(axis.size), key=lambda u: (u not in axis.pinned, -values[u], u)))


def scored(wiring: Wiring, axis: Axis, score: Score) -> torch.Tensor:
    """The score of each unit, checked.

    Raises:
        EvidenceError: the function returned something other than one finite number per unit.
        ModelError: the weights are on ``meta`` or hold NaN or infinity.
    """
    tensors = {m.tensor: wiring.tensors[m.tensor] for m in axis.members}
    values = score(axis, Weights(tensors))
    if not isinstance(values, torch.Tensor) or tuple(values.shape) != (axis.size,):
        got = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise EvidenceError(
            f"score {_name(score)} gave {got} for axis {axis.name!r}; expected ({axis.size},), one number per unit"
        )
    if values.is_meta:
        raise ModelError(
            f"axis {axis.name!r} has weights on 'meta'; load them before scoring, or pass a score that needs none"
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
