"""From results to records."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import netsmith
from netsmith.checks.classes import Classes
from netsmith.costs import Cost, Timing
from netsmith.recipes import Result, Step
from netsmith.reports.filling import engines_of, machine_facts, plain, record_of, steps_of
from netsmith.reports.record import read_run, write_run


def result() -> tuple[Result, netsmith.Wiring]:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), torch.randn(2, 4)
    found = netsmith.shrink(model, x, budget=netsmith.Budget(params=0.6), evaluate=lambda model: {"score": 0.5})
    return found, netsmith.trace(model, x)


def test_the_record_of_a_result(tmp_path) -> None:
    found, wiring = result()
    classes = {"prune": Classes(("a", "b"), ((1, 0), (1, 2)), (0.5, 0.8))}
    run = record_of(
        found, wiring, title="A title", model="mine", command=["netsmith x"], asked={"b": 1}, seed=3, classes=classes
    )
    write_run(tmp_path, run)
    assert read_run(tmp_path) == run
    assert [(step.name, step.kind) for step in run.steps] == [("original", "load"), ("prune", "prune")]
    assert run.steps[1].cost.params == found.steps[1].cost.params and run.steps[1].scores == {"score": 0.5}
    assert run.steps[0].checks == () and run.steps[1].checks[0].name == "structure"
    assert run.steps[0].classes is None and run.steps[1].classes.confusion == ((1, 0), (1, 2))
    (inner,) = [axis for axis in run.axes if axis.name == "0.weight:0"]
    assert inner.before == 8 > inner.after == found.model[0].out_features
    assert (run.title, run.model, run.command, run.asked, run.seed) == ("A title", "mine", ("netsmith x",), {"b": 1}, 3)
    assert run.date[:2] == "20" and run.machine["netsmith"] == netsmith.__version__


def test_scores_that_are_no_numbers_are_left_out() -> None:
    steps = [Step("original", Cost(1, 2, 3), {"a": float("nan"), "b": 1.0}), Step("cut", Cost(1, 1, 1), {})]
    told = steps_of(steps, left={"block": "its twin did not run"})
    assert told[0].scores == {"b": 1.0}
    assert told[0].left == {} and told[1].left == {"block": "its twin did not run"}


def test_engines() -> None:
    timings = [
        Timing("original", "eager", "fp32", 2.0, 0.0),
        Timing("small", "eager", "fp32", 1.0, 0.0),
        Timing("small", "openvino", "int8", 0.5, float("inf")),
        Timing("original", "compile", "fp32", None, None, "no compiler"),
        Timing("small", "compile", "fp32", None, None, "no compiler"),
    ]
    eager, openvino, compiled = engines_of(timings, batch=4, original="original", result="small")
    assert (eager.original_ms, eager.result_ms, eager.difference, eager.why, eager.batch) == (2.0, 1.0, 0.0, None, 4)
    assert (openvino.original_ms, openvino.result_ms, openvino.difference) == (None, 0.5, None)
    assert openvino.why == "its outputs are others"
    assert compiled.why == "no compiler" and compiled.result_ms is None


def test_machine_facts_are_text_and_name_no_host() -> None:
    facts = machine_facts()
    assert set(facts) >= {"processor", "threads", "system", "python", "torch", "netsmith"}
    assert all(isinstance(value, str) and value for value in facts.values())


@pytest.mark.parametrize(
    ("value", "told"),
    [((1, 2), [1, 2]), ({1: {"a": None}}, {"1": {"a": None}}), (float("inf"), "inf"), (torch.float16, "torch.float16")],
)
def test_values_become_json(value: object, told: object) -> None:
    assert plain(value) == told
    json.dumps(plain(value), allow_nan=False)
