"""How many structures are proposed at a time, and how trials are shared among budgets."""

from __future__ import annotations

from ..problem import Problem

GENERATION = 8  # a fixed number: what is proposed must not depend on how many are judged at a time


def shared_out(trials: int, problem: Problem) -> list[int]:
    """Trials of each budget, as even as can be."""
    budgets = len(problem.limits)
    return [trials // budgets + (number < trials % budgets) for number in range(budgets)]
