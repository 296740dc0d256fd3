"""Runs the trials of a search, here or elsewhere, and gives their outcomes in the trials' own order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from ...errors import InputError
from .attempt import Result
from .cluster import Cluster
from .engine import Engine, Here
from .processes import Processes
from .store import Store
from .trial import Outcome, Trial, Work, as_json, digest

Progress = Callable[[int, int, str], None]

ONE_CPU = {"num_cpus": 1.0}
_POLL = 1.0  # seconds between looks at what others have done


def run_trials(
    trials: Iterable[Trial],
    work: Work,
    *,
    workers: int = 1,
    ray: str | None = None,
    store: Store | None = None,
    retries: int = 2,
    resources: Mapping[str, float] = ONE_CPU,
    progress: Progress | None = None,
) -> list[Outcome]:
    """The outcome of every trial, in their order; trials with the same spec run once.

    What the work raises is its outcome's error, and not tried again. Outcomes depend on neither the number of workers
    nor the order in which they finish, as far as the work's arithmetic does not depend on torch's number of threads.
    On Ctrl-C workers are ended; what was finished stays in the store.

    Args:
        trials: what to try.
        work: spec -> dict of JSON values, deterministic given the spec. Torch's, numpy's and Python's own random
            numbers are seeded from the spec before each trial. For other processes it is pickled, with all it holds.
        workers: processes; 1: this one. They share this process' ``torch.get_num_threads()`` threads. With ``ray``: at
            most so many tasks at once; 1: as many as the cluster has room for.
        ray: address of a Ray cluster, "auto" for the one of this machine, or "local" to start one for these trials.
        store: where outcomes are kept, and found by this or a later call; several processes and machines that use the
            same store at the same time divide the trials.
        retries: how often a trial is tried again whose worker died (killed, out of memory).
        resources: that a Ray task asks for: ``num_cpus``, ``num_gpus``.
        progress: called with (trials done, trials in all, what came of the last one).

    Raises:
        InputError: a spec is not JSON, two trials share a number, an option is out of range, the work cannot be sent
            to workers, or no cluster answers.
        FileError: the store is damaged or out of reach.
        MissingExtraError: Ray is not installed.
        NetsmithError: workers die before they are ready.

    Example:
        >>> run_trials([Trial(i, {"width": 8 * i}) for i in range(1, 9)], work, workers=4)  # doctest: +SKIP
    """
    with Runner(work, workers=workers, ray=ray, store=store, retries=retries, resources=resources) as runner:
        return runner.run(trials, progress)


class Runner:
    """``run_trials`` for one batch after the other: workers and cluster stay between them. Arguments as there.

    Example:
        >>> with Runner(work, workers=4) as runner:  # doctest: +SKIP
        ...     for generation in generations:
        ...         outcomes = runner.run(generation)
    """

    def __init__(
        self,
        work: Work,
        *,
        workers: int = 1,
        ray: str | None = None,
        store: Store | None = None,
        retries: int = 2,
        resources: Mapping[str, float] = ONE_CPU,
    ):
        _check(workers, retries)
        self._store = store
        self._engine = _engine(work, workers, ray, retries, resources)

    def __enter__(self) -> Runner:
        with ExitStack() as stack:  # what was entered is left again if the next cannot be
            stack.enter_context(self._engine)
            if self._store is not None:
                stack.enter_context(self._store)
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *fault: object) -> None:
        """Workers end at once, and claims to unfinished trials are given back."""
        self._leave.__exit__(None, None, None)

    def run(self, trials: Iterable[Trial], progress: Progress | None = None) -> list[Outcome]:
        """The outcome of every trial, in their order."""
        trials = list(trials)
        if len({t.number for t in trials}) < len(trials):
            raise InputError("two trials share a number; number them 0, 1, 2 ...")
        keys = [digest(dict(t.spec)) for t in trials]
        specs = {key: as_json(trial.spec) for trial, key in zip(trials, keys, strict=True)}
        numbers = {key: trial.number for trial, key in zip(reversed(trials), reversed(keys), strict=True)}

        def tell(key: str, result: Result, done: int) -> None:
            if progress is not None:
                progress(done, len(specs), f"trial {numbers[key]}" + (f": {result.error}" if result.error else ""))

        results = _run(specs, self._engine, self._store, tell)
        outcomes = [(t.number, results[key]) for t, key in zip(trials, keys, strict=True)]
        return [Outcome(number, r.values, r.seconds, r.error) for number, r in outcomes]


def _engine(work: Work, workers: int, ray: str | None, retries: int, resources: Mapping[str, float]) -> Engine:
    if ray is not None:
        return Cluster(work, ray, workers, retries, resources)
    return Here(work) if workers == 1 else Processes(work, workers, retries)


def _run(
    specs: Mapping[str, Mapping[str, Any]],
    engine: Engine,
    store: Store | None,
    tell: Callable[[str, Result, int], None],
) -> dict[str, Result]:
    results: dict[str, Result] = {}
    running: set[str] = set()

    def done(key: str, result: Result) -> None:
        results[key] = result
        tell(key, result, len(results))

    while len(results) < len(specs):
        if store is not None:
            store.look()
            for key in [k for k in specs if k not in results and k not in running]:
                if (found := store.result(key)) is not None:
                    done(key, found)
        for key in [k for k in specs if k not in results and k not in running]:
            if len(running) == engine.slots:
                break
            if store is None or store.claim(key, specs[key]):
                running.add(key)
                engine.start(key, specs[key])
        if not running:
            time.sleep(_POLL)  # others have the rest
        for key, result in engine.finished(_POLL):
            running.discard(key)
            if store is not None:
                store.finish(key, result)
            done(key, result)
    return results


def _check(workers: int, retries: int) -> None:
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers is {workers!r}; give 1 (this process) or more processes")
    if not isinstance(retries, int) or retries < 0:
        raise InputError(f"retries is {retries!r}; give 0 or more")
