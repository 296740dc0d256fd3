"""Structures drawn at random under the budgets: the yardstick of every other strategy."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ..candidate import Judge
from ..fitting import fitted
from ..problem import Problem
from ..structure import Structure, structure
from .generations import GENERATION, shared_out

_TRIES = 20  # to draw something that fits and is new


def random(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """Widths, blocks and precision drawn alike from the menus, then brought under the budget."""
    for number, (limits, share) in enumerate(zip(problem.limits, shared_out(trials, problem), strict=True)):
        rng = Random(f"{seed}:{number}")
        while share > 0:
            made = [random_structure(problem, limits, rng) for _ in range(min(GENERATION, share))]
            share -= len(made)
            found = [each for each in made if each is not None]
            if not found or not judge(found, number):
                break


def random_structure(problem: Problem, limits: Mapping[str, float], rng: Random) -> Structure | None:
    """One structure under a limit; None where none was found."""
    for _ in range(_TRIES):
        cut = random_cut(problem, rng)
        widths = {menu.name: rng.choice(menu.widths) for menu in problem.view(cut).menus}
        precision = rng.choice((None, *problem.menus.precisions))
        made = fitted(problem, structure(widths, cut, precision), limits, rng)
        if made is not None:
            return made
    return None


def random_cut(problem: Problem, rng: Random) -> tuple[str, ...]:
    """Some of the blocks that may go, one in four on average."""
    share = rng.random() / 2
    drawn = [block for block in problem.menus.blocks if rng.random() < share]
    cut = problem.menus.distinct(rng.sample(drawn, len(drawn)))
    return cut if problem.able(cut) else ()
