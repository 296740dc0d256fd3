"""Budgets are met from below, and spent where they buy most."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import BudgetError, InputError
from netsmith.plans import Budget
from netsmith.searches import Curve, Curves, allocate, measure_curves, plan_allocation
from netsmith.wiring import Wiring
from small_networks import NETWORKS, mlp, network


def wide() -> tuple[nn.Module, Wiring, Curves]:
    """Two layers of equal cost a unit; the first can spare its units, the second cannot."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 6), nn.ReLU(), nn.Linear(6, 40), nn.Linear(40, 6))
    wiring = netsmith.trace(model, torch.randn(2, 6))
    curves = (
        Curve(("0.weight:0",), {40: 0.0, 20: 0.01, 4: 0.1, 1: 1.0}),
        Curve(("4.weight:0",), {40: 0.0, 20: 1.0, 4: 3.0, 1: 9.0}),
    )
    ranks = {"0.weight:0": tuple(range(40)), "4.weight:0": tuple(reversed(range(40)))}
    return model, wiring, Curves(wiring, curves, ranks)


def test_units_go_where_they_cost_least_error() -> None:
    _, _, curves = wide()
    plan = allocate(curves, Budget(macs=0.75))
    assert plan.keep() == {"0.weight:0": tuple(range(20))}
    plan = allocate(curves, Budget(macs=0.4))
    assert len(plan.keep()["0.weight:0"]) == 4
    assert plan.keep()["4.weight:0"] == tuple(range(12, 40))  # of the best rank


@pytest.mark.parametrize("cost", ["macs", "params", "bytes"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_the_budget_is_met_from_just_below(cost: str, share: float) -> None:
    model, wiring, curves = wide()
    plan = allocate(curves, Budget(**{cost: share}))
    x = wiring.example_inputs
    before, after = netsmith.measure(model, x), netsmith.measure(netsmith.apply(model, plan), x)
    assert share - 0.02 < getattr(after, cost) / getattr(before, cost) <= share


def test_two_limits_at_once() -> None:
    model, wiring, curves = wide()
    plan = allocate(curves, Budget(macs=0.9, params=0.5))
    after = netsmith.measure(netsmith.apply(model, plan), wiring.example_inputs)
    before = netsmith.measure(model, wiring.example_inputs)
    assert after.params <= 0.5 * before.params and after.macs <= 0.9 * before.macs


def test_a_measured_time() -> None:
    _, _, curves = wide()
    plan = allocate(curves, Budget(latency_ms=1e6))
    assert plan.edits == ()
    with pytest.raises(BudgetError, match="cannot be met: latency_ms"):
        allocate(curves, Budget(latency_ms=1e-6))


def test_round_to_holds() -> None:
    model, _, _ = wide()
    wiring = netsmith.trace(model, torch.randn(2, 6))
    plan = plan_allocation(wiring, budget=Budget(macs=0.5), data=[torch.randn(32, 6)] * 4, round_to=8)
    assert plan.edits and all(len(kept) % 8 == 0 for axis, kept in plan.keep().items() if wiring.sizes[axis] > 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_network_is_brought_below_its_budget(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    curves = measure_curves(wiring, [x] * 4)
    for share in (0.8, 0.6):  # both from one pass over the data
        plan = allocate(curves, Budget(params=share))
        edited = netsmith.apply(model, plan).eval()
        assert netsmith.measure(edited, x).params <= share * netsmith.measure(model, x).params
        assert netsmith.verify(model, edited, plan, x)


def test_a_budget_below_the_floor_and_one_that_already_fits() -> None:
    _, _, curves = wide()
    with pytest.raises(BudgetError, match=r"(?s)cannot be met: macs would be .*narrowest width.*the floor"):
        allocate(curves, Budget(macs=3))
    assert allocate(curves, Budget(macs=1.0)).edits == ()


def test_an_impossible_budget_is_refused_before_anything_is_measured() -> None:
    wiring = netsmith.trace(mlp(), torch.randn(2, 6))
    told: list[int] = []
    with pytest.raises(BudgetError, match="cannot be met: macs would be"):
        data = [torch.randn(8, 6)] * 2
        plan_allocation(wiring, budget=Budget(macs=3), data=data, progress=lambda done, *_: told.append(done))
    assert told == []


def test_bad_inputs() -> None:
    wiring = netsmith.trace(mlp(), torch.randn(2, 6))
    with pytest.raises(InputError, match="budget is a float"):
        plan_allocation(wiring, budget=0.5, data=[])  # type: ignore[arg-type]
