"""The same share of every axis: what one would do without a search."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from ..candidate import Judge
from ..fitting import fitted
from ..problem import Problem
from ..structure import Structure


def uniform(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """One structure a budget: all axes narrowed alike."""
    for number, limits in enumerate(problem.limits):
        made = uniform_structure(problem, limits, seed)
        if made is not None:
            judge([made], number)


def uniform_structure(problem: Problem, limits: Mapping[str, float], seed: int) -> Structure | None:
    """The widest that fits; None where nothing does."""
    return fitted(problem, Structure(), limits, Random(seed))
