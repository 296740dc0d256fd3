"""How long each call of a model takes at several widths; their sum predicts the time of widths never built."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch

from ..costs.macs import call_macs
from ..data.running import eval_mode
from ..evidence import Forward
from ..plans.widths import proven_sizing
from ..wiring import Wiring
from ..wiring.capture import transparent_functional
from ..wiring.layouts import layout_size
from ..wiring.proof import resized_copy
from ..wiring.wiring import WiredCall
from .problem import menu_sizes
from .space import Menu

SHARES = (1.0, 0.75, 0.5, 0.25, 0.1)  # of every width: where calls are timed


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Milliseconds of every call against its work.

    Attributes:
        wiring: of the model.
        points: of each call (work, milliseconds), by rising work: multiply-accumulates, or else elements that it makes.
    """

    wiring: Wiring
    points: tuple[tuple[tuple[float, float], ...], ...]

    def predict(self, sizes: Mapping[str, int]) -> float:
        """Sum of all calls' milliseconds with these widths, each interpolated between its neighbours in the table."""
        each = zip(self.wiring.calls, self.points, strict=True)
        return sum(_interpolated(points, work_of(call, sizes)) for call, points in each)


def latency_table(
    wiring: Wiring, menus: Sequence[Menu], *, round_to: int | None = None, rounds: int = 5
) -> LatencyTable:
    """Time every call of the model, and of copies with all widths at a few shares, each alone and warm.

    Args:
        wiring: of the model; calls are timed with the example inputs.
        menus: of the widths that change.
        round_to: as in the space.
        rounds: timed runs of each call, ≥ 1; the median counts.

    Raises:
        EvidenceError: a forward whose path depends on values.
    """
    found: list[dict[float, float]] = [{} for _ in wiring.calls]
    for share in SHARES:
        targets: dict[str, int] = {}
        for menu in menus:
            targets |= menu_sizes(wiring, menu, max(1, menu.nearest(share * menu.full)), round_to)
        sizing, _ = proven_sizing(wiring, targets)
        model = resized_copy(wiring, sizing.sizes, sizing.attributes)
        stops = {i: call.name for i, call in enumerate(wiring.calls)}
        with eval_mode(model), torch.no_grad(), transparent_functional():
            forward = Forward(model, wiring.example_inputs, stops)
            try:
                answer = None
                for points, call in zip(found, wiring.calls, strict=True):
                    stop = forward.resume(answer)
                    if stop is None:
                        break
                    stop.run()
                    times = []
                    for _ in range(rounds):
                        start = time.perf_counter()
                        answer = stop.run()
                        times.append((time.perf_counter() - start) * 1e3)
                    points[work_of(call, sizing.sizes)] = statistics.median(times)
            finally:
                forward.abandon()
    return LatencyTable(wiring, tuple(tuple(sorted(points.items())) for points in found))


def work_of(call: WiredCall, sizes: Mapping[str, int]) -> float:
    """Multiply-accumulates of a call with these widths; of a call that does none, the elements of its results."""
    inputs = [tuple(layout_size(layout, sizes) for layout in dims) for dims in call.inputs]
    outputs = [tuple(layout_size(layout, sizes) for layout in dims) for dims in call.outputs]
    if not outputs:
        return 0.0
    return float(call_macs(call.name, inputs, outputs[0], call.note) or sum(prod(shape) for shape in outputs))


def _interpolated(points: Sequence[tuple[float, float]], work: float) -> float:
    """Between neighbours in a straight line; beyond the ends, the nearest."""
    if work <= points[0][0]:
        return points[0][1]
    for (low, below), (high, above) in pairwise(points):
        if work <= high:
            return below + (above - below) * (work - low) / (high - low)
    return points[-1][1]
