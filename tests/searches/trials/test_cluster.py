"""Trials as tasks of a local Ray cluster."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from netsmith.errors import InputError
from netsmith.searches.trials import Trial, run_trials
from trial_work import Unwelcome, measured, refuse, small_model, trials

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for all tests: it takes seconds to start."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def killed_once(spec: Mapping[str, Any], marks: Path) -> dict[str, Any]:
    """The first attempt at trial 2 is killed as it runs."""
    mark = marks / str(spec["x"])
    if spec["x"] == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"y": spec["x"] ** 2}


def test_a_killed_task_is_retried(tmp_path: Path) -> None:
    outcomes = run_trials(trials(6), functools.partial(killed_once, marks=tmp_path), ray="local")
    assert [(o.number, o.values, o.error) for o in outcomes] == [(i, {"y": i * i}, None) for i in range(6)]
    assert (tmp_path / "2").exists()
    assert ray.is_initialized(), "a cluster that was there before stays"


def test_the_same_outcomes_as_here_and_errors_in_them() -> None:
    work = functools.partial(measured, model=small_model())
    given = trials(5, **{"raise": 1, "die": 3})
    outcomes = run_trials(given, work, ray="local", retries=1)
    here = run_trials([t for t in given if t.number != 3], work)
    assert [o for o in outcomes if o.number != 3] == here
    assert outcomes[3].values is None and outcomes[3].error is not None
    assert outcomes[3].error.startswith("its Ray task died more often than it is tried again: ")


def test_functions_of_a_script_are_sent_along() -> None:
    seen = run_trials([Trial(0, {"x": 1})], lambda spec: {"y": spec["x"]}, ray="local", workers=2)
    assert seen[0].values == {"y": 1}


def test_work_that_cannot_be_sent_or_taken() -> None:
    with pytest.raises(InputError, match=r"(?s)cannot be sent to worker processes: model \(.*generator"):
        run_trials(trials(1), functools.partial(measured, model=(x for x in ())), ray="local")
    with pytest.raises(InputError, match=r"of the Ray cluster cannot take the work \(AttributeError: no Net"):
        run_trials(trials(1), Unwelcome(refuse, "no Net"), ray="local")


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"num_gpus": 1}, r"asks for {'num_gpus': 1}, and the whole Ray cluster has 2 CPU, 0 GPU; ask for less"),
        ({"num_cpus": 3}, "ask for less"),
        ({"cores": 1}, "give num_cpus, num_gpus or both"),
        ({"num_cpus": 0}, "each above 0"),
        ({}, "give num_cpus"),
    ],
)
def test_resources_that_are_not_to_be_had(resources: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_trials(trials(1), functools.partial(measured, model=small_model()), ray="local", resources=resources)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_no_cluster_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match=rf"no Ray cluster answers at '{address}' .*start one with `ray start --head`"):
        run_trials(trials(1), functools.partial(measured, model=small_model()), ray=address)
