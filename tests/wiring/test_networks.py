"""Small awkward networks: each is pruned exactly, or what is not understood stays as it is."""

from __future__ import annotations

import pytest
import torch

import netsmith
from wiring.networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_exactly_or_left_alone(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]().eval()
    x = model.example()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wiring = netsmith.trace(model, x)
    plan = netsmith.plan_removal(wiring, keep=0.5)
    small = netsmith.apply(model, plan)
    verdict = netsmith.verify(model, small, plan, x)
    assert verdict.ok, f"{verdict}\n{plan}\n{wiring}"
    assert bool(plan.edits) == model.free, f"{plan}\n{wiring}"
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
