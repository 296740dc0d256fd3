"""Worker processes: the same outcomes with any number of them, and with some of them killed."""

from __future__ import annotations

import functools
import multiprocessing
import os

import pytest
from torch import nn

from netsmith.errors import InputError
from netsmith.searches.trials import Runner, run_trials
from trial_work import Killer, Unwelcome, measured, refuse, small_model, trials


def test_two_of_four_workers_killed() -> None:
    work = functools.partial(measured, model=small_model())
    given = trials(16, sleep=0.5)
    undisturbed = run_trials(given, work)
    with Killer(2) as killer:
        disturbed = run_trials(given, work, workers=4)
    assert disturbed == undisturbed
    assert killer.killed == 2
    assert all(outcome.error is None for outcome in disturbed)
    assert multiprocessing.active_children() == []


def test_two_workers_of_which_trials_kill_some(capfd: pytest.CaptureFixture[str]) -> None:
    model = small_model()
    before = [p.detach().clone() for p in model.parameters()]
    work = functools.partial(measured, model=model)
    given = trials(5, **{"raise": 1, "die": 3})
    with Runner(work, workers=2, retries=1) as runner:
        runner.run(trials(2))
        there = {worker.pid for worker in multiprocessing.active_children()}
        assert runner.run(trials(3)) == run_trials(trials(3), work)
        assert there <= {worker.pid for worker in multiprocessing.active_children()}, "workers stay between batches"
        outcomes = runner.run(given)
    here = run_trials([t for t in given if t.number != 3], work)
    assert [o for o in outcomes if o.number != 3] == here
    assert outcomes[3].error == "its worker process died 2 times, last by signal 9 (out of memory?)"
    assert outcomes[3].values is None
    assert not any(p.is_shared() for p in model.parameters())
    assert all((p == q).all() for p, q in zip(model.parameters(), before, strict=True))
    assert capfd.readouterr().err == ""


def test_work_that_cannot_be_sent() -> None:
    work = functools.partial(measured, model=nn.Sequential(nn.Linear(2, 2)))
    work.keywords["model"].register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match=r"(?s)cannot be sent to worker processes: model \(.*lambda.*workers=1"):
        run_trials(trials(2), work, workers=2)
    with pytest.raises(InputError, match=r"worker processes: .*lambda"):
        run_trials(trials(2), lambda spec: {}, workers=2)
    assert multiprocessing.active_children() == []


def test_work_that_workers_cannot_take() -> None:
    with pytest.raises(InputError, match=r"cannot take the work \(AttributeError: no Net in __main__\); move the func"):
        run_trials(trials(2), Unwelcome(refuse, "no Net in __main__"), workers=2)
    assert multiprocessing.active_children() == []


def test_workers_that_end_while_they_start() -> None:
    with pytest.raises(InputError, match=r"ended with exit code 3 while it started; .*if __name__ == '__main__':"):
        run_trials(trials(1), Unwelcome(os._exit, 3), workers=2)
