"""Stretches of a network between points where a single tensor carries all that the edit has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..plans import Plan
from ..wiring import Wiring
from ..wiring.layouts import layout_size
from .refits import Refit, find_refits, touched_calls


@dataclass(frozen=True)
class Segment:
    """Calls up to ``end``, whose one result is all that later calls see of what the edit has changed.

    Attributes:
        end: index in ``Wiring.calls``.
        refits: the layers on the way that can be fitted, in the order in which forward runs them; one or more.
    """

    end: int
    refits: tuple[Refit, ...]


def find_segments(wiring: Wiring, plan: Plan, fewest: int = 4) -> tuple[Segment, ...]:
    """Split what the plan changes into the shortest stretches with at least ``fewest`` layers to fit.

    A last layer that would be left alone joins the stretch before it.
    A residual network is split at additions, a plain one every few layers; what feeds everything behind it by several
    ways (a dense concatenation) is one long stretch. Longer stretches leave each layer more freedom.
    """
    refits = find_refits(wiring, plan, makers=True)
    if not refits:
        return ()
    changed = touched_calls(wiring, plan) | {r.call for r in refits}
    cuts = narrow_points(wiring, changed)
    segments: list[Segment] = []
    pending: list[Refit] = []
    for i, refit in enumerate(refits):
        pending.append(refit)
        before = refits[i + 1].call if i + 1 < len(refits) else len(wiring.calls)
        between = [cut for cut in cuts if refit.call <= cut < before]
        if between and (len(pending) >= fewest or i + 1 == len(refits)):
            # The last of the largest: behind an activation, but before positions are averaged away.
            end = max(between, key=lambda cut: (elements(wiring, cut), cut))
            if len(pending) == 1 and segments:
                pending = [*segments.pop().refits, *pending]
            segments.append(Segment(end, tuple(pending)))
            pending = []
    return tuple(segments)


def elements(wiring: Wiring, call: int) -> int:
    """Of what a call returns on the example inputs."""
    return math.prod(layout_size(layout, wiring.sizes) for layout in wiring.calls[call].outputs[0])


def narrow_points(wiring: Wiring, changed: set[int]) -> Sequence[int]:
    """Calls that return one tensor, behind which no other changed result is read any more."""
    calls = wiring.calls
    last = {call: len(calls) if readers[-1] < 0 else readers[-1] for call, readers in wiring.readers.items()}
    points, open_until = [], -1  # the last reader of changed results before this call
    for index, call in enumerate(calls):
        if index not in changed:
            continue
        if (
            call.name != "__setitem__"
            and len(call.outputs) == 1
            and open_until <= index
            and last.get(index, -1) > index
        ):
            points.append(index)
        open_until = max(open_until, last.get(index, -1))
    return points
