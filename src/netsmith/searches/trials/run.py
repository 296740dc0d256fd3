"""Runs the trials of a search, here or elsewhere, and gives their outcomes in the trials' own order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...errors import InputError
from .attempt import attempt
from .trial import Outcome, Trial, Work, digest

Progress = Callable[[int, int, str], None]


def run_trials(
    trials: Iterable[Trial],
    work: Work,
    *,
    workers: int = 1,
    ray: str | None = None,
    store: Any = None,
    retries: int = 2,
    progress: Progress | None = None,
) -> list[Outcome]:
    """The outcome of every trial, in their order; trials with the same spec run once.

    Args:
        trials: what to try.
        work: spec -> dict of JSON values, deterministic given the spec. Torch's, numpy's and Python's own random
            numbers are seeded from the spec before each trial.
        progress: called with (trials done, trials in all, what came of the last one).

    Raises:
        InputError: a spec is not JSON, two trials share a number, or an option is out of range.
    """
    trials = list(trials)
    if len({t.number for t in trials}) < len(trials):
        raise InputError("two trials share a number; number them 0, 1, 2 ...")
    digests = [digest(dict(t.spec)) for t in trials]
    results = {}
    for trial, key in zip(trials, digests, strict=True):
        if key not in results:
            results[key] = attempt(work, trial.spec)
            if progress is not None:
                progress(len(results), len(set(digests)), results[key].error or f"trial {trial.number}")
    outcomes = [(t.number, results[key]) for t, key in zip(trials, digests, strict=True)]
    return [Outcome(number, r.values, r.seconds, r.error) for number, r in outcomes]
