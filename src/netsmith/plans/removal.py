"""Removes whole units: channels, neurons, heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from ..costs import latencies, predict
from ..errors import BudgetError, InputError
from ..scores import Score, magnitude
from ..wiring import Wiring
from ..wiring.collector import no_collections
from ..wiring.proof import resized_copy
from .budget import Budget, check_saving, kept_already
from .plan import Plan
from .protection import protected_axes
from .sizing import Sizing, changeable_axes, solve
from .widths import best_units, plan_for, proven_sizing, rounded, scored

_STEPS = 24  # of bisection: finer than one unit of any axis


@no_collections()
def plan_removal(
    wiring: Wiring,
    *,
    keep: float | None = None,
    budget: Budget | None = None,
    score: Score = magnitude,
    round_to: int | None = None,
    ignore: Iterable[str] = (),
    cut: Literal["inside", "whole"] = "inside",
) -> Plan:
    """Plan to remove the units that matter least, the same share of every axis.

    Args:
        wiring: of the model, from ``trace``.
        keep: share of every axis that stays, in (0, 1].
        budget: instead of ``keep``: the largest share whose cost fits.
        score: ``(axis, weights) -> (axis.size,)``, higher = keep.
        round_to: widths become multiples of this (8 suits most CPUs, 8 or 64 GPUs); None: any width.
        ignore: name patterns; inputs, outputs and parameters of what matches keep their size.
        cut: of a dimension that is a product, such as heads × head width, remove units "inside" each (narrower heads)
            or "whole" ones (fewer heads).

    Returns:
        A plan that a twin of the model was run with, call by call. Axes that could not follow keep their size.

    Raises:
        InputError: neither or both of keep and budget, or values out of range.
        BudgetError: the budget is below what the model costs with everything removed that can be; says the floor.
        UnknownNameError: an ignore pattern that matches nothing.
        EvidenceError, ModelError: scores that are not one finite number per unit; weights that are not finite.

    Example:
        >>> plan = netsmith.plan_removal(wiring, budget=netsmith.Budget(macs=0.5))  # doctest: +SKIP
    """
    check_options(wiring, score, round_to, cut)
    _check_amount(keep, budget)
    names = changeable_axes(wiring, protected_axes(wiring, ignore), cut)
    scores = {name: scored(wiring, wiring.axis[name], score) for name in names}

    def targets(share: float, without: Iterable[str] = ()) -> dict[str, int]:
        return {
            name: rounded(wiring.axis[name], math.floor(wiring.sizes[name] * share + 0.5), round_to)
            for name in names
            if name not in set(without)
        }

    if keep is not None:
        sizing, left = proven_sizing(wiring, targets(keep))
    else:
        assert budget is not None
        sizing, left = _largest_that_fits(wiring, budget, targets)
    chosen = {
        axis.name: best_units(axis, scores[axis.name], sizing.sizes[axis.name])
        for axis in wiring.axes
        if sizing.sizes[axis.name] != axis.size
    }
    if budget is not None and not chosen:
        left |= kept_already(budget, predict(wiring, wiring.sizes))
    return plan_for(wiring, sizing, chosen, left)


def check_options(wiring: object, score: object, round_to: object, cut: object) -> None:
    """Raise InputError unless these are what planners of removals take."""
    if not isinstance(wiring, Wiring):
        raise InputError(f"wiring is a {type(wiring).__name__}; give what trace(model, example_inputs) returns")
    if not callable(score):
        raise InputError(f"score={score!r} is not callable; a score is a function (axis, weights) -> (axis.size,)")
    if round_to is not None and (not isinstance(round_to, int) or isinstance(round_to, bool) or round_to < 1):
        raise InputError(f"round_to={round_to!r} must be an int ≥ 1")
    if cut not in ("inside", "whole"):
        raise InputError(f'cut={cut!r}; give "inside" or "whole"')


def _check_amount(keep: object, budget: object) -> None:
    if (keep is None) == (budget is None):
        raise InputError("give one of keep (e.g. keep=0.5) and budget (e.g. budget=Budget(macs=0.5))")
    if keep is not None and not (isinstance(keep, (int, float)) and 0 < keep <= 1):
        raise InputError(f"keep={keep!r} must be a number in (0, 1]: the share of every axis that stays")
    if budget is not None:
        check_saving(budget)


def _largest_that_fits(
    wiring: Wiring, budget: Budget, targets: Callable[..., dict[str, int]]
) -> tuple[Sizing, dict[str, str]]:
    """Bisect the share of units; axes that turn out not to run as promised are left out and the search repeats."""
    left: dict[str, str] = {}
    while True:
        share = largest_share(wiring, budget, lambda s: solve(wiring, targets(s, left)))  # noqa: B023
        sizing, failed = proven_sizing(wiring, targets(share, left))
        if not failed:
            return sizing, left
        left |= failed


def largest_share(wiring: Wiring, budget: Budget, sizing_at: Callable[[float], Sizing]) -> float:
    """The largest share in (0, 1] whose sizing fits the budget.

    Raises:
        BudgetError: not even the smallest share fits.
    """
    fits = fit_check(wiring, budget)
    if fits(sizing_at(1.0)) is None:
        return 1.0
    low, high = 0.0, 1.0
    excess = fits(sizing_at(low))
    if excess is not None:
        raise BudgetError(
            f"the budget cannot be met: {excess}, even with every axis that may change at its smallest width. That is "
            "the floor; give a budget above it, or protect fewer layers"
        )
    measured = budget.latency_ms is not None
    for _ in range(6 if measured else _STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(sizing_at(middle)) is None else (low, middle)
    return low


def fit_check(wiring: Wiring, budget: Budget, original_wiring: Wiring | None = None) -> Callable[[Sizing], str | None]:
    """A function that says how a sizing exceeds the budget, or None when it fits.

    Args:
        wiring: of the model that gets the sizing.
        budget: what that may cost.
        original_wiring: of what shares in the budget are shares of; None: of the same model.
    """
    start = original_wiring or wiring
    original = predict(start, start.sizes)

    def check(sizing: Sizing) -> str | None:
        cost, whole = predict(wiring, sizing.sizes), original
        if budget.latency_ms is not None:  # in turns, so that what else the machine does falls on both alike
            candidate = resized_copy(wiring, sizing.sizes, sizing.attributes)
            before, after = latencies([start.model, candidate], wiring.example_inputs)
            cost, whole = replace(cost, latency_ms=after), replace(original, latency_ms=before)
        for name, limit in budget.limits(whole).items():
            value = getattr(cost, name)
            if value > limit:
                return f"{name} would be {value:,.6g}, above {limit:,.6g}"
        return None

    return check
