"""Moves a structure to where its measured time is just below a limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from torch import nn

from ..plans import plan_blocks
from ..plans.widths import proven_sizing
from ..surgery import apply
from ..wiring.proof import resized_copy
from . import steering
from .fitting import fitted
from .problem import Problem
from .structure import Structure

_AIM, _CLOSE = 0.98, 0.96  # of the limit: what is aimed at, and what is close enough
_TIMINGS = 12
_NUDGE = 0.01  # of the multiply-accumulates, where the next guess gives a structure that was timed before


def closed_in(
    problem: Problem, chosen: Structure, steered: steering.Steered, limits: Mapping[str, float], *, seed: int = 0
) -> Structure | None:
    """The structure with its widths scaled until a copy of arbitrary weights takes 96 to 100 % of a limit of time.

    Time does not fall evenly with multiply-accumulates: kernels like some widths better than others. So what was too
    slow says nothing of what is a little wider, and each guess starts from the one before.

    Args:
        problem: of the search.
        chosen: the structure to begin with.
        steered: the limit, its engine, and the original's time.
        limits: cost -> most, of the costs other than time.
        seed: of the order in which axes are widened.

    Returns:
        Of the structures that were timed the slowest that keeps the limit; None where none does.
    """
    allowed = steered.limit_ms / steered.original_ms
    cost = problem.cost(chosen).macs
    here = fitted(problem, chosen, limits, Random(seed))
    shares: dict[Structure, float] = {}
    for attempt in range(_TIMINGS):
        if here is not None and here not in shares:
            shares[here] = share = time_share(problem, here, steered.engine) / allowed
            if _CLOSE <= share <= 1:
                break
            cost = round(problem.cost(here).macs * min(max(_AIM / share, 0.5), 2.0))
        else:
            cost = round(cost * (1 + (_NUDGE if attempt % 2 else -2 * _NUDGE)))
        most = min(cost, limits.get("macs", cost))
        here = fitted(problem, chosen, {**limits, "macs": most}, Random(seed))
    return max((s for s, share in shares.items() if share <= 1), key=lambda s: shares[s], default=None)


def time_share(problem: Problem, chosen: Structure, engine: str) -> float:
    """Time of a model of this structure, with arbitrary weights, as a share of the original's at the same moment."""
    wiring = problem.wiring
    before, after = steering.timed([wiring.model, _model_of(problem, chosen)], wiring.example_inputs, engine)
    return after / before


def _model_of(problem: Problem, chosen: Structure) -> nn.Module:
    wiring = problem.view(chosen.cut).wiring
    if chosen.cut:  # the view has no weights
        plan = plan_blocks(problem.wiring, [problem.menus.blocks[block] for block in chosen.cut])
        wiring = replace(wiring, model=apply(problem.wiring.model, plan))
    sizing, _ = proven_sizing(wiring, problem.sizes(chosen))
    return resized_copy(wiring, sizing.sizes, sizing.attributes)
