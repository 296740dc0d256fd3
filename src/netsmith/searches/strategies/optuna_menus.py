"""Menus as Optuna's parameters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import Any

from ...errors import missing_extra
from ..candidate import Candidate
from ..fitting import fitted
from ..problem import Problem
from ..structure import Structure, structure


@contextmanager
def optuna_quietly() -> Iterator[ModuleType]:
    """Optuna, which for as long as this is open neither logs nor warns of what is experimental.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("optuna", "search", "the strategies tpe and nsga2: they") from error
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(level)


def suggested(problem: Problem, trial: Any, budget: int, rng: Random) -> Structure | None:
    """The structure that a trial's parameters say, brought under a budget; None where it cannot be.

    The parameters say how widths relate to each other; how wide all are together is the budget's business.
    """
    chosen = [block for block in problem.menus.blocks if trial.suggest_categorical(f"cut {block}", [False, True])]
    cut = problem.menus.distinct(chosen)
    rungs = {m.name: trial.suggest_int(f"width {m.name}", 0, len(m.widths) - 1) for m in problem.menus.widths}
    precision = None
    if problem.menus.precisions:
        precision = trial.suggest_categorical("precision", ["float", *problem.menus.precisions])
    if not problem.able(cut):
        return None
    widths = {m.name: m.widths[rungs[m.name]] for m in problem.view(cut).menus}
    made = structure(widths, cut, None if precision == "float" else precision)
    return fitted(problem, made, problem.limits[budget], rng)


def worth(candidate: Candidate) -> float:
    """The objective, and of equals a little more for what is nearer to the original."""
    return candidate.value - 1e-6 * min(candidate.divergence or 0.0, 1e3)
