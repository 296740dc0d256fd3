"""What the reports know of a step: a name, its cost, its scores. Any object with these three will do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..costs.cost import Cost
from ..errors import InputError
from .numbers import share
from .record import CostRecord

_COSTS = ("params", "macs", "bytes", "latency_ms", "peak_bytes")


class StepLike(Protocol):
    """One step of a recipe. The first step of a report is the original: shares are shares of it.

    Attributes:
        name: "original", "prune", "repair", ...
        cost: after this step.
        scores: name -> value, e.g. {"accuracy": 0.981, "f1": 0.98}; may be empty.
    """

    @property
    def name(self) -> str: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def scores(self) -> Mapping[str, float]: ...


def steps_json(steps: Sequence[StepLike]) -> list[dict[str, Any]]:
    """The steps for machines: name, params, macs, bytes, latency_ms, peak_bytes and every score, one flat dict a step.

    Every step has the same keys; what was not measured, or is not finite, is None.

    Raises:
        InputError: no steps, or a score named like a cost.
    """
    names = score_names(steps)
    return [
        {"name": step.name, **step.cost.as_dict(), **{name: _finite(step.scores.get(name)) for name in names}}
        for step in steps
    ]


def score_names(steps: Sequence[StepLike]) -> list[str]:
    """Names of all scores, in the order in which they first occur. Raises InputError as ``steps_json``."""
    if not steps:
        raise InputError("a report needs at least one step: the original")
    names = list(dict.fromkeys(name for step in steps for name in step.scores))
    clash = [name for name in names if name in ("name", *_COSTS)]
    if clash:
        raise InputError(f"a score is named {clash[0]!r}, which is a column of its own; rename it in the step's scores")
    return names


def latency_note(steps: Sequence[StepLike]) -> str | None:
    """A sentence where the last step's MACs fell and its measured time did not follow, else None."""
    return time_note(steps[0].cost, steps[-1].cost)


def time_note(before: Cost | CostRecord, after: Cost | CostRecord) -> str | None:
    """The same of two costs."""
    macs, latency = share(after.macs, before.macs), share(after.latency_ms, before.latency_ms)
    if macs is None or latency is None or macs > 0.9 or latency <= 0.95:
        return None
    return (
        f"MACs fell to {macs:.0%} of the original, but measured time is at {latency:.0%}: at this size the time goes "
        "elsewhere (memory traffic, overhead of each call). Measure with your batch size on your device."
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
