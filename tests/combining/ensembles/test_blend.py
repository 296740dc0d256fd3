"""Weighted means: members that count for nothing are left out; budgets hold."""

from __future__ import annotations

import pytest
import torch

import netsmith
from ensemble_members import accuracy, batches, data, trained
from netsmith.combining.ensembles import blend, gather
from netsmith.errors import BudgetError, InputError


@pytest.mark.parametrize("method", ["log_loss", "least_squares", "greedy"])
def test_a_blend_of_what_counts(method: str) -> None:
    ensemble = blend(trained(), batches(), method=method)
    assert float(ensemble.weights.sum()) == pytest.approx(1)
    assert float(ensemble.weights.min()) > 0
    assert len(ensemble.members) == len(ensemble.weights) == len(ensemble.names)
    assert accuracy(ensemble) >= max(accuracy(model) for model in trained().values()) - 0.03
    again = blend(trained(), gather(trained(), batches()), method=method)
    assert torch.equal(again.weights, ensemble.weights)


def test_a_budget_of_all_members_together() -> None:
    x = data().test.images[:1]
    whole = sum(netsmith.measure(model, x).macs for model in trained().values())
    ensemble = blend(trained(), batches(), method="greedy", budget=netsmith.Budget(macs=0.2), example_inputs=x)
    assert netsmith.measure(ensemble, x).macs <= 0.2 * whole
    timed = netsmith.Budget(latency_ms=1000.0)
    assert blend(trained(), batches(), method="greedy", budget=timed, example_inputs=x).names
    with pytest.raises(BudgetError, match="peak_bytes of members does not add up"):
        blend(trained(), batches(), method="greedy", budget=netsmith.Budget(peak_bytes=0.5), example_inputs=x)
    with pytest.raises(BudgetError, match="no member is within the budget of macs ≤ 10"):
        blend(trained(), batches(), method="greedy", budget=netsmith.Budget(macs=10), example_inputs=x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method='best' is unknown; there are log_loss, least_squares, greedy"),
        ({"rule": "geometric"}, "method='log_loss' cannot fit weights for rule='geometric'"),
        ({"rule": "median", "method": "greedy"}, "cannot fit weights for rule='median'"),
        ({"budget": netsmith.Budget(macs=0.5)}, 'a budget needs method="greedy" and example_inputs'),
    ],
)
def test_bad_input(options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        blend(trained(), batches(), **options)
