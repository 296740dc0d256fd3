"""Measured error curves divide the budget; then the real objective decides between divisions near that one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from ..allocation import walked
from ..candidate import Candidate, Judge, best_first
from ..fitting import fitted
from ..problem import BYTES_SHARE, Problem
from ..structure import Structure, structure
from ..walking import Ladder
from .generations import GENERATION, shared_out

_DOUBT = 0.7  # standard deviation of the logarithm of a curve's error: curves of one axis at a time are about so wrong
_PARENTS = 4
_TRIES = 10


def allocation(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """For each budget, the division by the curves first; then local search around the best found.

    A neighbour moves width between axes: the errors of all curves, or of one, are scaled by factors drawn at random
    beside those of one of the best, and the budget is divided anew. Where blocks may go, the first generation tries how
    many, the least influential first; neighbours bring one back or take another.

    Source: marginal analysis (``searches.allocate``) for the start; the search around it is this project's own.
    """
    for number, (limits, share) in enumerate(zip(problem.limits, shared_out(trials, problem), strict=True)):
        rng = Random(f"{seed}:{number}")
        wanted = _starts(problem, limits, rng)[: min(share, GENERATION)]
        judged: dict[Structure, Candidate] = {}
        factors: dict[Structure, dict[str, float]] = {}
        while wanted:
            found = judge(wanted, number)
            judged |= {candidate.structure: candidate for candidate in found}
            share -= len(wanted)
            scored = best_first(judged.values())
            if not found or not scored:
                break
            wanted = _neighbours(problem, scored, limits, judged, factors, min(GENERATION, share), rng)


def _starts(problem: Problem, limits: Mapping[str, float], rng: Random) -> list[Structure]:
    """The division by the curves, with ever fewer blocks, and in every precision."""
    found: dict[Structure, None] = {}
    for cut in _cuts(problem, limits):
        for precision in (None, *problem.menus.precisions):
            made = divided(problem, limits, cut, precision, {}, rng)
            if made is not None:
                found[made] = None
    return list(found)


def _cuts(problem: Problem, limits: Mapping[str, float]) -> list[tuple[str, ...]]:
    """No block, then the least influential one, two, ... while the rest at full width is still over the limit."""
    cuts: list[tuple[str, ...]] = [()]
    for block in sorted(problem.menus.blocks, key=lambda b: (problem.influence.get(b, 0.0), b)):
        cut = problem.menus.distinct((*cuts[-1], block))
        if not problem.able(cut):
            continue
        cuts.append(cut)
        if problem.excess(Structure(cut=tuple(sorted(cut))), limits) <= 1:
            break
    few = GENERATION // (1 + len(problem.menus.precisions)) or 1
    step = max(1, math.ceil((len(cuts) - 1) / max(1, few - 1)))
    return cuts[::step]


def divided(
    problem: Problem,
    limits: Mapping[str, float],
    cut: Sequence[str],
    precision: str | None,
    factors: Mapping[str, float],
    rng: Random,
) -> Structure | None:
    """The budget divided by the curves, each scaled by its factor; None where it cannot be kept."""
    chosen = structure({}, cut, precision)
    if problem.curves is not None and problem.excess(chosen, limits) > 1:
        share = BYTES_SHARE.get(precision or "", 1.0)
        limits_of_floats = {name: limit / share if name == "bytes" else limit for name, limit in limits.items()}
        view = problem.view(chosen.cut)
        original = {now: before for before, now in view.names.items()}
        sizes = walked(view.wiring, _ladders(problem, chosen.cut, factors), limits_of_floats)
        offered = {menu.name: menu for menu in view.menus}
        widths = {original[name]: size for name, size in sizes.items() if original[name] in offered}
        chosen = problem.plain(structure(widths, cut, precision))
    if problem.excess(chosen, limits) <= 1:
        return chosen
    return fitted(problem, chosen, limits, rng)


def _ladders(problem: Problem, cut: Sequence[str], factors: Mapping[str, float]) -> list[Ladder]:
    view, curves = problem.view(cut), problem.curves_of(cut)
    original = {now: before for before, now in view.names.items()}
    ladders = []
    for curve in curves.curves if curves else ():
        factor = factors.get(original[curve.axes[0]], 1.0)
        scaled = replace(curve, errors={width: error * factor for width, error in curve.errors.items()})
        ladders.append(Ladder(view.wiring, scaled, problem.round_to, view.parts))
    return ladders


def _neighbours(
    problem: Problem,
    scored: Sequence[Candidate],
    limits: Mapping[str, float],
    known: Mapping[Structure, Candidate],
    factors: dict[Structure, dict[str, float]],
    count: int,
    rng: Random,
) -> list[Structure]:
    found: dict[Structure, None] = {}
    for _ in range(_TRIES * count):
        if len(found) >= count:
            break
        parent = scored[min(rng.choices(range(min(_PARENTS, len(scored))), k=2))].structure
        cut = _other_cut(problem, parent.cut, rng)
        moved = _other_factors(problem, factors.get(parent, {}), rng)
        precision = rng.choice((parent.precision, parent.precision, None, *problem.menus.precisions))
        made = divided(problem, limits, cut, precision, moved, rng)
        if made is not None and made not in known and made not in found:
            found[made] = None
            factors[made] = moved
    return list(found)


def _other_factors(problem: Problem, factors: Mapping[str, float], rng: Random) -> dict[str, float]:
    names = [menu.name for menu in problem.menus.widths]
    chosen = names if rng.random() < 0.5 else [rng.choice(names)] if names else []
    doubt = _DOUBT if len(chosen) > 1 else 2 * _DOUBT
    return {**factors, **{name: factors.get(name, 1.0) * math.exp(rng.gauss(0, doubt)) for name in chosen}}


def _other_cut(problem: Problem, cut: Sequence[str], rng: Random) -> tuple[str, ...]:
    """Half of the time the same blocks, else one brought back or another one, rather a less influential one, taken."""
    blocks = sorted(problem.menus.blocks, key=lambda b: (problem.influence.get(b, 0.0), b))
    if not blocks or rng.random() < 0.5:
        return tuple(cut)
    kept = [block for block in blocks if block not in cut]
    if cut and (not kept or rng.random() < 0.5):
        gone = rng.choice(list(cut))
        return tuple(block for block in cut if block != gone)
    other = problem.menus.distinct((*cut, kept[min(rng.choices(range(len(kept)), k=2))]))
    return other if problem.able(other) else tuple(cut)
