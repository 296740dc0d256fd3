"""Removes the units that training has driven to zero or nearly so, and only those."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..errors import InputError
from ..scores import Score, magnitude
from ..wiring import Wiring
from ..wiring.collector import no_collections
from .plan import Plan
from .protection import protected_axes
from .sizing import changeable_axes
from .widths import best_units, plan_for, proven_sizing, rounded, scored


@no_collections()
def plan_threshold(
    wiring: Wiring,
    *,
    threshold: float = 1e-3,
    score: Score = magnitude,
    round_to: int | None = None,
    ignore: Iterable[str] = (),
) -> Plan:
    """Plan to remove every unit whose score is at most ``threshold`` times the highest of its axis.

    With ``magnitude`` over all coupled weights and threshold 0 the edited model computes what it computed before: the
    units that go have nothing but zeros. An axis keeps at least its best unit, and no unit above the threshold ever
    goes: where a width must be rounded, dead units stay.

    Args:
        wiring: of the model, from ``trace``.
        threshold: share of the axis's highest score, in [0, 1).
        score: ``(axis, weights) -> (axis.size,)``, e.g. ``norm_scale`` after slimming.
        round_to, ignore: as in ``plan_removal``.

    Returns:
        A plan that a twin of the model was run with; without edits where nothing is dead.

    Raises:
        InputError: threshold out of range.
        UnknownNameError, EvidenceError, ModelError: as in ``plan_removal``.
    """
    if not 0 <= threshold < 1:
        raise InputError(f"threshold={threshold} is a share of an axis's highest score, in [0, 1)")
    names = changeable_axes(wiring, protected_axes(wiring, ignore))
    scores = {name: scored(wiring, wiring.axis[name], score) for name in names}
    alive = {name: max(1, int((s > threshold * s.max()).sum())) for name, s in scores.items()}
    targets = {name: _upward(wiring, name, alive[name], round_to) for name in names}
    while True:
        sizing, left = proven_sizing(wiring, targets)
        harmed = [name for name in targets if sizing.sizes[name] < alive[name]]
        if not harmed:
            break
        targets = {name: size for name, size in targets.items() if name not in harmed}
    chosen = {
        axis.name: best_units(axis, scores[axis.name], sizing.sizes[axis.name])
        for axis in wiring.axes
        if sizing.sizes[axis.name] != axis.size
    }
    return plan_for(wiring, sizing, chosen, left)


def _upward(wiring: Wiring, name: str, alive: int, round_to: int | None) -> int:
    """The smallest width that the axis may have with room for all that live; pinned units stay too."""
    axis = wiring.axis[name]
    step = math.lcm(round_to or 1, axis.multiple_of)
    size = min(axis.size, -(-(alive + len(axis.pinned)) // step) * step) if axis.pinned else -(-alive // step) * step
    found = rounded(axis, size, round_to)
    return found if found >= alive else axis.size
