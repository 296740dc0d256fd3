"""Optuna's tree-structured Parzen estimator over the menus."""

from __future__ import annotations

from random import Random

from ..candidate import Judge
from ..problem import Problem
from .generations import GENERATION, shared_out
from .optuna_menus import optuna_quietly, suggested, worth


def tpe(problem: Problem, judge: Judge, trials: int, seed: int) -> None:
    """For each budget a study of its own; after a generation at random, structures that resemble the better ones.

    Raises:
        MissingExtraError: Optuna is not installed.

    Source: Bergstra et al., NeurIPS 2011; Optuna's multivariate sampler (Falkner et al., ICML 2018).
    """
    with optuna_quietly() as optuna:
        failed = optuna.trial.TrialState.FAIL
        for number, share in enumerate(shared_out(trials, problem)):
            rng = Random(f"{seed}:{number}")
            sampler = optuna.samplers.TPESampler(
                seed=seed + number, multivariate=True, constant_liar=True, n_startup_trials=GENERATION
            )
            study = optuna.create_study(direction="maximize", sampler=sampler)
            while share > 0:
                asked = [study.ask() for _ in range(min(GENERATION, share))]
                share -= len(asked)
                made = [suggested(problem, trial, number, rng) for trial in asked]
                found = {c.structure: c for c in judge([s for s in made if s is not None], number)}
                for trial, chosen in zip(asked, made, strict=True):
                    candidate = None if chosen is None else found.get(chosen)
                    if candidate is None or candidate.rejected is not None:
                        study.tell(trial, state=failed)
                    else:
                        study.tell(trial, worth(candidate))
                if not found:
                    break
