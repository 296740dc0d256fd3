"""Moves a structure to where its measured time is just below a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from ..plans import plan_blocks
from ..surgery import apply
from ..wiring import Wiring
from . import steering
from .fitting import fitted
from .problem import Problem
from .structure import Structure, structure

_AIM, _CLOSE, _SAFE = 0.975, 0.96, 0.99  # of the limit: what is aimed at, and from where to where is good enough
_TIMINGS = 12
_NUDGE = 0.01  # of the multiply-accumulates, where the next guess gives a structure that was timed before


def closed_in(
    problem: Problem, chosen: Structure, steered: steering.Steered, limits: Mapping[str, float], *, seed: int = 0
) -> Structure | None:
    """The structure with its widths scaled until a copy of arbitrary weights takes 96 to 99 % of a limit of time.

    Time does not fall evenly with multiply-accumulates: kernels like some widths much better than others. So what was
    too slow says nothing of what is a little wider, and each guess starts from the one before. Where that jumps over
    the limit, axes take the wider of the two widths one after the other.

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
    wiring = without(problem, chosen.cut)
    shares: dict[Structure, float] = {}

    def share(here: Structure) -> float:
        if here not in shares:
            shares[here] = time_share(problem, wiring, here, steered.engine) / allowed
        return shares[here]

    here = chosen if problem.excess(chosen, limits) <= 1 else fitted(problem, chosen, limits, Random(seed))
    cost = problem.cost(chosen).macs
    for attempt in range(_TIMINGS):
        if here is not None and here not in shares:
            if _CLOSE <= share(here) <= _SAFE:
                return here
            cost = round(problem.cost(here).macs * min(max(_AIM / share(here), 0.5), 2.0))
        else:
            cost = round(cost * (1 + (_NUDGE if attempt % 2 else -2 * _NUDGE)))
        most = min(cost, limits.get("macs", cost))
        here = fitted(problem, chosen, {**limits, "macs": most}, Random(seed))
    fast = max((s for s in shares if shares[s] <= _SAFE), key=share, default=None)
    slow = min((s for s in shares if shares[s] > _SAFE), key=share, default=None)
    if fast is None or slow is None:
        return fast
    for mixed in _between(problem, fast, slow, lambda s: share(s) <= _SAFE):
        if problem.excess(mixed, limits) <= 1 and share(fast) < share(mixed) <= _SAFE:
            fast = mixed
    return fast


def _between(
    problem: Problem, fast: Structure, slow: Structure, keeps: Callable[[Structure], bool]
) -> Iterator[Structure]:
    """Structures with some of the slow one's widths, halving how many of them decide whether the limit is kept."""
    widths = [dict(s.widths) for s in (fast, slow)]
    menus = [menu for menu in problem.view(fast.cut).menus if widths[0].get(menu.name) != widths[1].get(menu.name)]
    low, high = 0, len(menus)
    while high - low > 1:
        middle = (low + high) // 2
        mixed = {m.name: widths[i < middle].get(m.name, m.full) for i, m in enumerate(menus)}
        here = problem.plain(structure({**widths[0], **mixed}, fast.cut, fast.precision))
        low, high = (middle, high) if keeps(here) else (low, middle)
        yield here


def without(problem: Problem, cut: Sequence[str]) -> Wiring:
    """Of the model without some blocks, with its weights."""
    wiring = problem.view(cut).wiring
    if not cut:
        return wiring
    plan = plan_blocks(problem.wiring, [problem.menus.blocks[block] for block in cut])
    return replace(wiring, model=apply(problem.wiring.model, plan))  # the view has none


def time_share(problem: Problem, wiring: Wiring, chosen: Structure, engine: str) -> float:
    """Time of a model of this structure, with arbitrary weights, as a share of the original's at the same moment.

    Args:
        problem: of the search.
        wiring: of the model without the blocks that the structure cuts, see ``without``.
        chosen: the structure.
        engine: as in ``costs.compare_engines``.
    """
    model, _ = steering.resized_to(wiring, problem.sizes(chosen))
    before, after = steering.timed([problem.wiring.model, model], wiring.example_inputs, engine)
    return after / before
