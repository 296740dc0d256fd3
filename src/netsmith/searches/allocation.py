"""Divides a budget among axes: each unit of cost is saved where it costs the least error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from ..costs import predict
from ..errors import BudgetError
from ..evidence.masks import Mask
from ..plans import Budget, Plan, RemoveBlock, plan_blocks
from ..plans.budget import check_saving, kept_already
from ..plans.protection import protected_axes
from ..plans.removal import check_options, fit_check
from ..plans.sizing import changeable_axes, solve
from ..plans.widths import plan_for, proven_sizing
from ..scores import Score, magnitude
from ..wiring import Wiring
from ..wiring.collector import no_collections
from .curves import Curve, Curves
from .leaving import dispensable, measure_blocks
from .measure import measure_curves, sizes_at
from .structure import without_blocks
from .together import axes_together
from .walking import Ladder, Walk, parts_of

_TIMINGS = 6  # of candidates, where latency is limited


def plan_allocation(
    wiring: Wiring,
    *,
    budget: Budget,
    data: Iterable[Any],
    score: Score | None = None,
    round_to: int | None = None,
    ignore: Iterable[str] = (),
    cut: Literal["inside", "whole"] = "inside",
    depth: bool = False,
    mask: Mask | None = None,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Plan:
    """Plan to remove units where removing them, followed by repair, changes the outputs least.

    Args:
        wiring: of the model, from ``trace``.
        budget: what the result may cost.
        data: unlabelled calibration batches, each ``x`` or ``(x, y)``.
        score: says which units of an axis stay; None: those whose loss repair makes up for least.
        round_to, ignore, cut: as in ``plan_removal``.
        depth: whether residual blocks may go altogether; see ``measure_blocks``.
        mask: inputs -> (examples, positions), false or 0 where padding is, which then does not count; e.g.
            ``lambda x: x["attention_mask"]``.
        seed: of everything drawn at random.
        progress: called with (axes measured, axes in all, name of the axis).

    Returns:
        A plan that a twin of the model was run with, call by call. ``recovery.compensate`` repairs after it; where
        blocks go, ``recovery.repair``. For several budgets call ``measure_curves`` once and ``allocate`` for
        each.

    Raises:
        InputError, BudgetError, UnknownNameError, EvidenceError, ModelError: as ``plan_removal`` and
            ``measure_curves``.

    Example:
        >>> plan = plan_allocation(wiring, budget=Budget(macs=0.5), data=batches)  # doctest: +SKIP
    """
    check_saving(budget)
    check_options(wiring, magnitude if score is None else score, round_to, cut)
    names = changeable_axes(wiring, protected_axes(wiring, ignore), cut)
    if not depth:
        narrowest = [sizes_at(wiring, group, 0.0, round_to) for group in axes_together(wiring, names, round_to)[0]]
        _check_floor(wiring, budget, narrowest)  # before minutes of measuring
    curves = measure_curves(
        wiring,
        data,
        score=score,
        round_to=round_to,
        ignore=ignore,
        cut=cut,
        mask=mask,
        seed=seed,
        progress=progress,
    )
    if depth:
        curves = measure_blocks(curves, data, ignore=ignore, mask=mask, seed=seed, progress=progress)
    return allocate(curves, budget)


@no_collections()
def allocate(curves: Curves, budget: Budget) -> Plan:
    """The plan with the least sum of measured errors that fits the budget.

    Walks from the full widths down, always to the next narrower width that adds the least error for the cost it saves;
    costs are those of the widths reached so far. What is left over at the end is given back where it helps most.
    Blocks that may go (``measure_blocks``) go where that makes the sum smaller; then the plan that takes them out
    comes ``before`` the one that changes widths.

    Raises:
        BudgetError: the budget is below what the model costs with every axis at its narrowest; says the floor.

    Source: marginal analysis, Fox, Management Science 13(3), 1966; optimal for convex curves and additive costs.
    """
    check_saving(budget)
    wiring = curves.wiring
    if not curves.blocks:
        return _narrowed(curves, budget, wiring)

    def without(blocks: Sequence[RemoveBlock]) -> Curves:
        return curves.without(*without_blocks(wiring, blocks))

    def error_without(blocks: Sequence[RemoveBlock]) -> float:
        left = without(blocks)
        targets = _widths(left, left.curves, budget, wiring)
        return sum(c.error(targets.get(c.axes[0], left.wiring.sizes[c.axes[0]])) for c in left.curves)

    gone = dispensable(curves, error_without)
    plan = _narrowed(without(gone), budget, wiring)
    if not gone:
        return plan
    cut = plan_blocks(wiring, gone)
    return plan.after(cut) if plan.edits else replace(cut, left=plan.left)


def _narrowed(curves: Curves, budget: Budget, original: Wiring) -> Plan:
    """The plan of widths for a model that may have lost blocks already."""
    wiring, left = curves.wiring, dict(curves.left or {})
    while True:
        usable = [curve for curve in curves.curves if not left.keys() & set(curve.axes)]
        targets = _widths(curves, usable, budget, original)
        sizing, failed = proven_sizing(wiring, targets)
        if not failed:
            break
        left |= failed
    chosen = {
        name: curves.ranks[name][: sizing.sizes[name]]
        for name in curves.ranks
        if sizing.sizes[name] != wiring.sizes[name]
    }
    if not chosen and wiring is original:
        left |= kept_already(budget, predict(wiring, wiring.sizes))
    return plan_for(wiring, sizing, chosen, left)


def _check_floor(
    wiring: Wiring, budget: Budget, narrowest: Iterable[Mapping[str, int]], original: Wiring | None = None
) -> None:
    fits = fit_check(wiring, budget, original)
    excess = fits(solve(wiring, {name: n for each in narrowest for name, n in each.items()}))
    if excess is not None:
        raise BudgetError(
            f"the budget cannot be met: {excess}, even with every axis that may change at its narrowest width. That is "
            "the floor; give a budget above it, or protect fewer layers"
        )


def _widths(curves: Curves, usable: Sequence[Curve], budget: Budget, original: Wiring) -> dict[str, int]:
    wiring = curves.wiring
    fits = fit_check(wiring, budget, original)
    if fits(solve(wiring, {})) is None:
        return {}
    parts = parts_of(wiring)
    ladders = [Ladder(wiring, curve, curves.round_to, parts) for curve in usable]
    _check_floor(wiring, budget, [ladder.sizes[-1] for ladder in ladders], original)
    if budget.latency_ms is not None:
        return _timed(wiring, ladders, fits)
    return walked(wiring, ladders, budget.limits(predict(original, original.sizes)))


def walked(wiring: Wiring, ladders: list[Ladder], limits: Mapping[str, float]) -> dict[str, int]:
    """Widths, of the axes that get narrower, whose cost keeps the limits; the narrowest where none does.

    Args:
        wiring: of the model.
        ladders: the widths to choose from, with their errors.
        limits: cost ("macs", "params", "bytes", "peak_bytes") -> most.
    """
    tightened = dict(limits)
    while True:
        walk = Walk(wiring, ladders, tightened)
        for _ in walk.down():
            if walk.fits():
                break
        walk.give_back()
        # Solving for what forward demands may widen an axis again.
        cost = predict(wiring, solve(wiring, walk.sizes).sizes)
        over = {name: getattr(cost, name) / limit for name, limit in limits.items() if getattr(cost, name) > limit}
        if not over or walk.at_the_end():
            return walk.changed()
        tightened = {name: limit / max(1.001, over.get(name, 1)) for name, limit in tightened.items()}


def _timed(wiring: Wiring, ladders: list[Ladder], fits: Callable[[Any], str | None]) -> dict[str, int]:
    """Bisect the walk that saves multiply-accumulates by measured time."""
    walk = Walk(wiring, ladders, {"macs": 1.0})
    stages = [dict(walk.changed()), *(dict(walk.changed()) for _ in walk.down())]
    low, high = 0, len(stages) - 1  # the last fits
    for _ in range(_TIMINGS):
        middle = (low + high) // 2
        low, high = (low, middle) if fits(solve(wiring, stages[middle])) is None else (middle, high)
    return stages[high]
