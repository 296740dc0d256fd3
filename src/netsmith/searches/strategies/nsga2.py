"""Optuna's NSGA-II: one population for all budgets, with cost and objective to trade."""

from __future__ import annotations

from random import Random

from ..candidate import Judge
from ..problem import Problem
from .generations import GENERATION
from .optuna_menus import optuna_quietly, suggested, worth


def nsga2(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """Structures that are both cheap and good, by non-dominated sorting; which budget to fill is a gene as well.

    The cost is the first that the first budget limits.

    Raises:
        MissingExtraError: Optuna is not installed.

    Source: Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002.
    """
    cost = next(iter(problem.limits[0]))
    rng = Random(seed)
    with optuna_quietly() as optuna:
        sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=GENERATION)
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
        left = trials
        while left > 0:
            asked = [study.ask() for _ in range(min(GENERATION, left))]
            left -= len(asked)
            budgets = [t.suggest_categorical("budget", list(range(len(problem.limits)))) for t in asked]
            made = [suggested(problem, t, budget, rng) for t, budget in zip(asked, budgets, strict=True)]
            found = {c.structure: c for c in judge([s for s in made if s is not None], None)}
            for trial, chosen in zip(asked, made, strict=True):
                candidate = None if chosen is None else found.get(chosen)
                if candidate is None or candidate.rejected is not None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, [float(getattr(candidate.cost, cost)), worth(candidate)])
            if not found:
                break
