"""Planning a removal: by share, by budget, with protection, and with scores of one's own."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

import netsmith
from netsmith.costs import measure
from netsmith.errors import BudgetError, EvidenceError, InputError, ModelError, UnknownNameError
from netsmith.plans import Budget, plan_removal, removal
from small_networks import NETWORKS, Residual, mlp, network


@cache
def wired(name: str = "mlp"):
    return netsmith.trace(*network(name))


def first_units(axis, weights):
    return -torch.arange(axis.size).float()


# -------------------------------------------------------------------------------------------------------- by share


def test_keep_takes_the_same_share_of_every_axis() -> None:
    plan = plan_removal(wired(), keep=0.5)
    assert {e.axis: (e.size, len(e.keep)) for e in plan.edits} == {"0.weight:0": (16, 8), "2.weight:0": (10, 5)}


def test_the_largest_stay() -> None:
    wiring = wired()
    plan = plan_removal(wiring, keep=0.25)
    weights = wiring.tensors
    norms = (
        weights["0.weight"].square().sum(1) + weights["0.bias"].square() + weights["2.weight"].square().sum(0)
    ).sqrt()
    assert plan.keep()["0.weight:0"] == tuple(sorted(norms.topk(4).indices.tolist()))


def test_keep_everything_and_keep_almost_nothing() -> None:
    assert plan_removal(wired(), keep=1).edits == ()
    assert {len(e.keep) for e in plan_removal(wired(), keep=1e-9).edits} == {1}


def test_the_wiring_and_the_model_are_as_before() -> None:
    wiring = wired("residual")
    before = {name: tensor.clone() for name, tensor in wiring.tensors.items()}
    plan_removal(wiring, keep=0.5)
    assert all(torch.equal(before[name], tensor) for name, tensor in wiring.tensors.items())
    assert netsmith.wiring.fingerprint(wiring.model) == wiring.fingerprint


@pytest.mark.parametrize("name", NETWORKS)
def test_two_plans_of_two_equal_models_are_equal(name: str) -> None:
    again = netsmith.trace(*network(name))
    assert plan_removal(wired(name), keep=0.6) == plan_removal(again, keep=0.6)
    assert plan_removal(wired(name), budget=Budget(macs=0.6)) == plan_removal(again, budget=Budget(macs=0.6))


def test_ties_keep_the_lower_units() -> None:
    plan = plan_removal(wired(), keep=0.5, score=lambda axis, weights: torch.ones(axis.size))
    assert plan.keep()["0.weight:0"] == tuple(range(8))


# ------------------------------------------------------------------------------------------------------- by budget


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("cost", ["macs", "params", "bytes"])
def test_a_budget_is_met_and_used(name: str, cost: str) -> None:
    model, x = network(name)
    plan = plan_removal(wired(name), budget=Budget(**{cost: 0.7}))
    limit = 0.7 * getattr(measure(model, x), cost)
    after = getattr(measure(netsmith.apply(model, plan), x), cost)
    assert 0.35 * limit < after <= limit


def test_several_limits_hold_together() -> None:
    model, x = network("residual")
    plan = plan_removal(netsmith.trace(model, x), budget=Budget(macs="80%", params=600, bytes=4000))
    cost = measure(netsmith.apply(model, plan), x)
    assert cost.macs <= 0.8 * measure(model, x).macs and cost.params <= 600 and cost.bytes <= 4000


def test_a_budget_that_already_fits_changes_nothing() -> None:
    assert plan_removal(wired(), budget=Budget(macs=1.0)).edits == ()
    plan = plan_removal(wired(), budget=Budget(params=10**9))
    assert plan.edits == () and "of 1,000,000,000): nothing to do" in plan.left["the model"]
    assert "the model" not in plan_removal(wired(), budget=Budget(macs=0.5)).left
    with pytest.raises(BudgetError, match="more than the model costs"):
        plan_removal(wired(), budget=Budget(macs="101%"))


def test_an_impossible_budget_names_the_floor() -> None:
    model, x = network("mlp")
    # four rows at one unit an axis: 6·1 + 1·1 + 1·3
    with pytest.raises(
        BudgetError, match=r"cannot be met: macs would be 40, above 20, even with every axis .* smallest"
    ):
        plan_removal(netsmith.trace(model, x), budget=Budget(macs=20))
    protected = r"params would be 60, above 50"
    with pytest.raises(BudgetError, match=protected):
        plan_removal(netsmith.trace(model, x), budget=Budget(params=50), ignore=["4"])


def test_a_latency_budget_measures_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every hidden unit took a millisecond."""

    def widths(models, example_inputs, **options):
        return [float(model[0].weight.shape[0] + model[2].weight.shape[0]) for model in models]

    monkeypatch.setattr(removal, "latencies", widths)
    plan = plan_removal(wired(), budget=Budget(latency_ms=0.5))
    assert 10 <= sum(plan.new_sizes[axis] for axis in ("0.weight:0", "2.weight:0")) <= 13
    with pytest.raises(BudgetError, match=r"latency_ms would be 2, above 1"):
        plan_removal(wired(), budget=Budget(latency_ms=1))


# ------------------------------------------------------------------------------------------------- round_to, ignore


def test_widths_are_rounded() -> None:
    model = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 6), nn.ReLU(), nn.Linear(6, 2))
    wiring = netsmith.trace(model, torch.randn(2, 6))
    plan = plan_removal(wiring, keep=0.5, round_to=8)
    assert plan.new_sizes["0.weight:0"] in (16, 24)
    assert plan.new_sizes["2.weight:0"] == 3  # narrower than 8 to begin with: any width
    assert plan_removal(wiring, keep=0.01, round_to=8).new_sizes["0.weight:0"] == 8
    fitted = plan_removal(wiring, budget=Budget(macs=0.6), round_to=8)
    assert fitted.new_sizes["0.weight:0"] % 8 == 0
    assert (
        measure(netsmith.apply(model, fitted), torch.randn(2, 6)).macs <= 0.6 * measure(model, torch.randn(2, 6)).macs
    )


def test_what_is_ignored_keeps_inputs_and_outputs() -> None:
    plan = plan_removal(wired("residual"), keep=0.5, ignore=["fc"])
    assert plan.keep().keys() == {"conv1.weight:0"}
    edited = netsmith.apply(network("residual")[0], plan)
    assert edited.fc.weight.shape == (5, 8)
    assert plan_removal(wired("residual"), keep=0.5, ignore=["conv1"]).edits == ()


def test_an_ignore_pattern_that_matches_nothing() -> None:
    with pytest.raises(UnknownNameError, match="ignore pattern 'head' matches no module, tensor or axis"):
        plan_removal(wired(), keep=0.5, ignore=("head",))


class ReadsEnds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.a(x)
        return self.b(h) + h[:, -1].unsqueeze(1) + 2 * h[:, 0].unsqueeze(1)


def test_units_that_are_read_by_position_stay() -> None:
    torch.manual_seed(0)
    model, x = ReadsEnds(), torch.randn(3, 4)
    with torch.no_grad():
        model.a.weight[[0, 5]] *= 1e-3  # the least, by magnitude
        model.b.weight[:, [0, 5]] *= 1e-3
    wiring = netsmith.trace(model, x)
    assert wiring.axis["a.weight:0"].pinned == (0, 5)
    for keep in (0.5, 1e-9):
        plan = plan_removal(wiring, keep=keep)
        assert {0, 5} <= set(plan.keep()["a.weight:0"])
        assert netsmith.verify(model, netsmith.apply(model, plan), plan, x)


# ------------------------------------------------------------------------------------------------------- bad inputs


def test_share_and_budget_exclude_each_other() -> None:
    for options in ({}, {"keep": 0.5, "budget": Budget(macs=0.5)}):
        with pytest.raises(InputError, match=r"give one of keep \(e\.g\. keep=0\.5\) and budget"):
            plan_removal(wired(), **options)


@pytest.mark.parametrize("keep", [0, -0.5, 1.5, float("nan"), "0.5"])
def test_shares_out_of_range(keep: object) -> None:
    with pytest.raises(InputError, match=r"keep=.* must be a number in \(0, 1\]"):
        plan_removal(wired(), keep=keep)  # type: ignore[arg-type]


@pytest.mark.parametrize("round_to", [0, -8, 2.5, "8"])
def test_round_to_out_of_range(round_to: object) -> None:
    with pytest.raises(InputError, match=r"round_to=.* must be an int ≥ 1"):
        plan_removal(wired(), keep=0.5, round_to=round_to)  # type: ignore[arg-type]


def test_things_of_the_wrong_kind() -> None:
    with pytest.raises(InputError, match=r"wiring is a Sequential; give what trace\(model, example_inputs\) returns"):
        plan_removal(mlp(), keep=0.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"budget is a float; give e\.g\. netsmith\.Budget"):
        plan_removal(wired(), budget=0.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="score='taylor' is not callable"):
        plan_removal(wired(), keep=0.5, score="taylor")  # type: ignore[arg-type]


def test_scores_of_the_wrong_shape_or_kind() -> None:
    with pytest.raises(EvidenceError, match=r"score one gave \(1,\) for axis '0.weight:0'; expected \(16,\)"):

        def one(axis, weights):
            return torch.ones(1)

        plan_removal(wired(), keep=0.5, score=one)
    with pytest.raises(EvidenceError, match=r"gave list for axis '0.weight:0'; expected \(16,\)"):
        plan_removal(wired(), keep=0.5, score=lambda axis, weights: [1.0] * axis.size)
    with pytest.raises(EvidenceError, match=r"gave NaN or infinity for axis '0.weight:0'"):
        plan_removal(wired(), keep=0.5, score=lambda axis, weights: torch.full((axis.size,), torch.nan))


def test_weights_that_are_not_finite() -> None:
    model, x = network("residual")
    with torch.no_grad():
        model.conv1.weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(ModelError, match=r"weights are not finite \(NaN or infinity\): conv1\.weight\. Load a sound"):
        plan_removal(netsmith.trace(model, x), keep=0.5)


def test_weights_on_meta_cannot_be_scored_by_size_but_by_number() -> None:
    with torch.device("meta"):
        model = Residual()
        x = torch.randn(2, 3, 6, 6)
    wiring = netsmith.trace(model, x)
    with pytest.raises(ModelError, match="has weights on 'meta'; load them before scoring"):
        plan_removal(wiring, keep=0.5)
