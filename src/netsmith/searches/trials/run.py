"""Runs the trials of a search, here or elsewhere, and gives their outcomes in the trials' own order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import InputError
from .attempt import Result
from .engine import Engine, Here
from .processes import Processes
from .trial import Outcome, Trial, Work, digest

Progress = Callable[[int, int, str], None]

_POLL = 1.0  # seconds between looks at what others have done


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

    What the work raises is its outcome's error, and not tried again. Outcomes depend on neither the number of workers
    nor the order in which they finish, as far as the work's arithmetic does not depend on torch's threads.

    Args:
        trials: what to try.
        work: spec -> dict of JSON values, deterministic given the spec. Torch's, numpy's and Python's own random
            numbers are seeded from the spec before each trial. For other processes it is pickled, with all it holds.
        workers: processes; 1: this one. They share this process' ``torch.get_num_threads()`` threads.
        retries: how often a trial is tried again whose worker died (killed, out of memory).
        progress: called with (trials done, trials in all, what came of the last one).

    Raises:
        InputError: a spec is not JSON, two trials share a number, an option is out of range, or the work cannot be
            sent to workers.
    """
    trials = list(trials)
    _check(trials, workers, retries)
    keys = [digest(dict(t.spec)) for t in trials]
    specs = {key: trial.spec for trial, key in zip(trials, keys, strict=True)}
    numbers = {key: trial.number for trial, key in zip(reversed(trials), reversed(keys), strict=True)}

    def tell(key: str, result: Result, done: int) -> None:
        if progress is not None:
            progress(done, len(specs), f"trial {numbers[key]}" + (f": {result.error}" if result.error else ""))

    with Here(work) if workers == 1 else Processes(work, workers, retries) as engine:
        results = _run(specs, engine, tell)
    outcomes = [(t.number, results[key]) for t, key in zip(trials, keys, strict=True)]
    return [Outcome(number, r.values, r.seconds, r.error) for number, r in outcomes]


def _run(
    specs: Mapping[str, Mapping[str, Any]], engine: Engine, tell: Callable[[str, Result, int], None]
) -> dict[str, Result]:
    results: dict[str, Result] = {}
    waiting, running = list(specs), set[str]()
    while len(results) < len(specs):
        while waiting and len(running) < engine.slots:
            key = waiting.pop(0)
            running.add(key)
            engine.start(key, specs[key])
        for key, result in engine.finished(_POLL):
            running.discard(key)
            results[key] = result
            tell(key, result, len(results))
    return results


def _check(trials: list[Trial], workers: int, retries: int) -> None:
    if len({t.number for t in trials}) < len(trials):
        raise InputError("two trials share a number; number them 0, 1, 2 ...")
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers is {workers!r}; give 1 (this process) or more processes")
    if not isinstance(retries, int) or retries < 0:
        raise InputError(f"retries is {retries!r}; give 0 or more")
