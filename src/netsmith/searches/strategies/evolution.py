"""Mutation and crossover over the menus; the better half of all that was judged are the parents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from ..candidate import Candidate, Judge, best_first
from ..fitting import fitted
from ..problem import Problem
from ..structure import Structure, structure
from .generations import GENERATION, shared_out
from .random import random_structure
from .uniform import uniform_structure

_PARENTS = 8
_TRIES = 20


def evolution(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """For each budget a population of its own: uniform and random at first, then children of the best.

    A child takes each width from one of two parents, changes about a tenth of them, and is brought under the budget.

    Source: Real et al., AAAI 2019, arXiv:1802.01548 (parents by tournament), here with crossover and without ageing.
    """
    for number, (limits, share) in enumerate(zip(problem.limits, shared_out(trials, problem), strict=True)):
        rng = Random(f"{seed}:{number}")
        first = [uniform_structure(problem, limits, seed)]
        first += [random_structure(problem, limits, rng) for _ in range(GENERATION - 1)]
        wanted = list(dict.fromkeys(each for each in first if each is not None))[:share]
        judged: dict[Structure, Candidate] = {}
        while wanted:
            found = judge(wanted, number)
            judged |= {candidate.structure: candidate for candidate in found}
            share -= len(wanted)
            if not found:
                break
            parents = best_first(judged.values())[:_PARENTS]
            wanted = _children(problem, parents, limits, judged, min(GENERATION, share), rng)


def _children(
    problem: Problem,
    parents: Sequence[Candidate],
    limits: Mapping[str, float],
    known: Mapping[Structure, Candidate],
    count: int,
    rng: Random,
) -> list[Structure]:
    found: dict[Structure, None] = {}
    for _ in range(_TRIES * count if parents else 0):
        if len(found) >= count:
            break
        mother, father = (min(rng.choices(range(len(parents)), k=2)) for _ in range(2))  # tournaments of two
        made = fitted(problem, _child(problem, parents[mother].structure, parents[father].structure, rng), limits, rng)
        if made is not None and made not in known:
            found[made] = None
    return list(found)


def _child(problem: Problem, mother: Structure, father: Structure, rng: Random) -> Structure:
    cut = tuple(
        block
        for block in problem.menus.blocks
        if (block in rng.choice((mother, father)).cut) != (rng.random() < 0.5 / len(problem.menus.blocks))
    )
    cut = problem.menus.distinct(cut)
    cut = cut if problem.able(cut) else mother.cut
    menus = problem.view(cut).menus
    widths: dict[str, int] = {}
    for menu in menus:
        width = dict(rng.choice((mother, father)).widths).get(menu.name, menu.full)
        widths[menu.name] = rng.choice(menu.widths) if rng.random() < max(0.1, 1 / len(menus)) else width
    schemes = (None, *problem.menus.precisions)
    precision = rng.choice(schemes) if rng.random() < 0.1 else rng.choice((mother, father)).precision
    return structure(widths, cut, precision)
