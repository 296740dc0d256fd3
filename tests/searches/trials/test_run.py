"""``run_trials`` in this process: order, seeds, errors, plain JSON."""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from netsmith.errors import InputError, MissingExtraError
from netsmith.searches.trials import Outcome, Runner, Trial, digest, run_trials
from trial_work import measured, small_model, trials


def squared(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"y": spec["x"] ** 2}


def test_outcomes_come_in_the_order_of_the_trials() -> None:
    outcomes = run_trials([Trial(7, {"x": 3}), Trial(1, {"x": 2})], squared)
    assert outcomes == [Outcome(7, {"y": 9}, 0.0), Outcome(1, {"y": 4}, 0.0)]
    assert all(outcome.seconds > 0 for outcome in outcomes)
    assert run_trials([], squared) == []


def test_the_same_spec_runs_once() -> None:
    ran: list[int] = []

    def counted(spec: Mapping[str, Any]) -> dict[str, Any]:
        ran.append(spec["x"])
        return {"sizes": spec["sizes"]}

    outcomes = run_trials([Trial(0, {"x": 1, "sizes": (2, 3)}), Trial(1, {"sizes": [2, 3], "x": 1})], counted)
    assert ran == [1]
    assert [(o.number, o.values) for o in outcomes] == [(0, {"sizes": [2, 3]}), (1, {"sizes": [2, 3]})]


def test_what_work_draws_depends_on_the_spec_alone_and_the_callers_random_state_is_kept() -> None:
    def drawn(spec: Mapping[str, Any]) -> dict[str, Any]:
        if spec["x"] == 2:
            raise ValueError
        return {"all": [torch.rand(()).item(), random.random(), float(np.random.rand())]}  # noqa: NPY002

    forwards = run_trials(trials(3), drawn)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    backwards = run_trials(trials(3)[::-1], drawn)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert forwards == backwards[::-1]
    assert forwards[0].values != forwards[1].values
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


def test_an_error_is_an_outcome() -> None:
    told: list[tuple[int, int, str]] = []
    outcomes = run_trials(
        trials(3, **{"raise": 1}), functools.partial(measured, model=small_model()), progress=lambda *t: told.append(t)
    )
    assert [outcome.values is None for outcome in outcomes] == [False, True, False]
    assert outcomes[1].error is not None
    assert outcomes[1].error.startswith("ValueError: this width is not to be had (trial_work.py:")
    assert [(done, of) for done, of, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert told[0][2] == "trial 0" and told[1][2].startswith("trial 1: ValueError")


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (torch.ones(2), "the work returned a Tensor; return a dict"),
        ({"x": torch.ones(2)}, "what JSON cannot hold (Object of type Tensor is not JSON serializable)"),
    ],
)
def test_results_that_are_not_json(result: Any, error: str) -> None:
    (outcome,) = run_trials(trials(1), lambda spec: result)
    assert outcome.values is None and outcome.error is not None and error in outcome.error


def test_our_own_errors_keep_their_words() -> None:
    def raising(spec: Mapping[str, Any]) -> dict[str, Any]:
        raise InputError("no such width; give another")

    assert run_trials(trials(1), raising)[0].error == "no such width; give another"


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([Trial(0, {"x": 1}), Trial(0, {"x": 2})], {}, "two trials share a number"),
        ([Trial(0, {"x": torch.ones(1)})], {}, "not made of JSON values"),
        ([Trial(0, {"x": float("nan")})], {}, "not made of JSON values"),
        (trials(1), {"workers": 0}, "workers is 0; give 1"),
        (trials(1), {"retries": -1}, "retries is -1; give 0 or more"),
    ],
)
def test_bad_input(given: list[Trial], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_trials(given, squared, **options)


def test_one_batch_after_the_other() -> None:
    with Runner(squared) as runner:
        assert [o.values for o in runner.run(trials(2))] == [{"y": 0}, {"y": 1}]
        assert runner.run(trials(3))[2] == Outcome(2, {"y": 4}, 0.0)


def test_the_digest_is_of_the_content() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1}) != digest({"a": 1.0, "b": [1, 2]})


def test_ray_and_optuna_are_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    from netsmith.searches.trials import Store

    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"netsmith\[ray\]"):
        run_trials(trials(1), squared, ray="local")
    with pytest.raises(MissingExtraError, match=r"netsmith\[search\]"):
        Store("study.db", "squares")
