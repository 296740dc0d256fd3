"""Which weights become integers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith import Budget
from netsmith.errors import BudgetError, EvidenceError, InputError, ModelError, PlanError, UnknownNameError
from netsmith.plans import Plan, SetPrecision, plan_precision, precision
from netsmith.plans.integers import integers_of, values_of
from netsmith.wiring.wrapped import dequantized, is_wrapped
from small_networks import NETWORKS, mlp, network

pytest.importorskip("torchao")


@pytest.fixture(autouse=True)
def tiny_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALLEST", 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scheme", ["int8", "int4", "dynamic-int8"])
def test_every_network_runs_with_the_values_of_the_plan(name: str, scheme) -> None:
    model, x = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plan = plan_precision(netsmith.trace(model, x), scheme=scheme, group=4)
    small = netsmith.apply(model, plan)
    assert plan.precisions and all(key in before for key in plan.left)
    for edit in plan.precisions:
        weight = small.get_parameter(edit.tensor)
        assert is_wrapped(weight) and not weight.requires_grad
        assert dequantized(weight).equal(values_of(integers_of(before[edit.tensor], edit), weight))
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict.ok, verdict
    assert {c.status for c in verdict.checks if c.name == "outputs"} == {"stated error"}
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())


def test_tied_weights_stay_tied_and_what_reads_otherwise_is_left() -> None:
    model, x = network("tied")
    plan = plan_precision(netsmith.trace(model, x), scheme="int8")
    small = netsmith.apply(model, plan)
    assert small.head.weight is small.embed.weight
    assert plan.left == {"encoder.weight": "is read by matmul argument, which needs floats"}
    assert plan_precision(netsmith.trace(model, x), scheme="int8", embeddings=False).precisions == ()


def test_dynamic_rounds_inputs_of_linear_layers_only() -> None:
    model, x = network("residual")
    plan = plan_precision(netsmith.trace(model, x), scheme="dynamic-int8")
    assert {e.tensor: e.dynamic for e in plan.precisions} == {
        "stem.weight": False,
        "conv1.weight": False,
        "conv2.weight": False,
        "fc.weight": True,
    }


def test_ignored_and_small_ones_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALLEST", 100)
    plan = plan_precision(netsmith.trace(mlp(), torch.randn(2, 6)), scheme="int8", ignore=["2"])
    assert plan.left == {
        "0.weight": "has only 96 elements",
        "2.weight": "is to be ignored",
        "4.weight": "has only 30 elements",
    }


def test_a_group_that_does_not_divide_gives_one_scale_an_output() -> None:
    plan = plan_precision(netsmith.trace(mlp(), torch.randn(2, 6)), scheme="int4", group=8)
    assert [e.group for e in plan.precisions] == [0, 8, 0]


def test_what_cannot_run_as_integers_is_left() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            if is_wrapped(self.a.weight):
                raise TypeError("floats only")
            return self.b(self.a(x))

    plan = plan_precision(netsmith.trace(Odd(), torch.randn(2, 4)), scheme="int8")
    assert [e.tensor for e in plan.precisions] == ["b.weight"]
    assert plan.left == {"a.weight": "does not run as integers: TypeError: floats only"}


def test_a_budget_of_bytes() -> None:
    model, x = network("mlp")
    wiring, data = netsmith.trace(model, x), [torch.randn(16, 6)]
    whole = netsmith.measure(model, x).bytes
    told = []
    loose = plan_precision(wiring, budget=Budget(bytes=0.6), data=data, progress=lambda *a: told.append(a))
    tight = plan_precision(wiring, budget=Budget(bytes=0.40), data=data)
    assert told[-1] == (3, 3, "4.weight")
    assert netsmith.measure(netsmith.apply(model, loose), x).bytes <= 0.6 * whole
    assert sum(e.bits for e in tight.precisions) < 24 and len(tight.precisions) == 3
    with pytest.raises(BudgetError, match="cannot be met by precision: with every weight in the fewest bits"):
        plan_precision(wiring, budget=Budget(bytes=0.05), data=data)


def test_after_pruning() -> None:
    model, x = network("mlp")
    first = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    small = netsmith.apply(model, first)
    plan = plan_precision(netsmith.trace(small, x), scheme="int8").after(first)
    both = netsmith.apply(model, plan)
    assert netsmith.verify(model, both, plan, x).ok
    with pytest.raises(ModelError):
        netsmith.trace(both, x)
    with pytest.raises(PlanError, match="stored as integers last"):
        first.after(plan)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "give one of scheme .* and budget"),
        ({"scheme": "int8", "budget": Budget(bytes=0.5)}, InputError, "give one of"),
        ({"scheme": "int3"}, InputError, "scheme='int3'; give one of 'int8', 'int4', 'dynamic-int8'"),
        ({"budget": Budget(macs=0.5), "data": [torch.ones(1, 6)]}, InputError, "budget limits bytes"),
        ({"budget": Budget(bytes=0.5)}, EvidenceError, "give data"),
        ({"scheme": "int4", "group": -1}, InputError, "group=-1 must be an int ≥ 0"),
        ({"scheme": "int8", "clip": "best"}, InputError, "clip='best'; give 'max'"),
        ({"scheme": "int8", "ignore": ["nothing"]}, UnknownNameError, "'nothing' matches no module or tensor"),
    ],
)
def test_bad_input(options, error, message: str) -> None:
    with pytest.raises(error, match=message):
        plan_precision(netsmith.trace(mlp(), torch.randn(2, 6)), **options)


def test_wrong_wiring_and_weights_without_values() -> None:
    with pytest.raises(InputError, match="wiring is a str"):
        plan_precision("model", scheme="int8")  # type: ignore[arg-type]
    with torch.device("meta"):
        model = mlp()
    with pytest.raises(ModelError, match="on 'meta'"):
        plan_precision(netsmith.trace(model, torch.randn(2, 6, device="meta")), scheme="int8")


def test_plans_that_contradict_themselves() -> None:
    edit = SetPrecision("fc.weight", "linear", 8)
    with pytest.raises(PlanError, match="two edits change the same tensor"):
        Plan((edit, edit), {}, {}, {}, "00")
    with pytest.raises(PlanError, match="only a plan that changes widths has layouts"):
        Plan((edit,), {"a": 3}, {}, {}, "00")
    model = mlp()
    plan = Plan((edit,), {}, {}, {}, "00")
    with pytest.raises(PlanError, match="there is no tensor fc.weight"):
        netsmith.apply(model, plan)
    assert "int8, a scale an output, clipped by max" in str(plan)
