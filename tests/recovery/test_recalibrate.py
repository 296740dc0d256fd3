"""Batch statistics are recomputed only where held-out outputs come nearer."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import mean_divergence
from netsmith.plans import Plan
from netsmith.recovery import recalibrate
from small_networks import Residual, network


def sound() -> tuple[nn.Module, Plan, list[torch.Tensor]]:
    """A network whose statistics are those of the data, and a plan that changes nothing."""
    torch.manual_seed(0)
    model = Residual()
    data = [torch.randn(32, 3, 6, 6) for _ in range(8)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        for _ in range(2):
            for x in data:
                model(x)
    model.eval()
    return model, netsmith.plan_removal(netsmith.trace(model, data[0]), keep=1), data


def distance(model: nn.Module, other: nn.Module, data: list[torch.Tensor]) -> float:
    with torch.no_grad():
        return mean_divergence(other, data, [model(x) for x in data])


def test_wrong_statistics_are_mended() -> None:
    model, plan, data = sound()
    spoilt = copy.deepcopy(model)
    spoilt.bn1.running_mean += 1.0
    spoilt.bn1.running_var *= 4
    mended = recalibrate(model, spoilt, plan, data)
    assert distance(model, mended.model, data) < 0.05 * distance(model, spoilt, data)
    assert torch.allclose(mended.model.bn1.running_mean, model.bn1.running_mean, atol=0.05)
    assert {"bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"} <= mended.plan.refitted
    before, after = mended.errors["bn1"]
    assert after < before
    assert not any(m.training for m in mended.model.modules())


def test_sound_statistics_are_left_alone() -> None:
    """Here recomputing on data from elsewhere would only hurt."""
    model, plan, _ = sound()
    shifted = [torch.randn(4, 3, 6, 6) * (1 + 3 * (i % 2)) for i in range(8)]
    kept = recalibrate(model, model, plan, shifted)
    assert kept.errors.keys() == {"norm", "bn1", "bn2"}
    assert all(before == 0 < after for before, after in kept.errors.values())
    assert kept.plan.refitted == frozenset()
    assert all(
        torch.equal(a, b) for a, b in zip(kept.model.state_dict().values(), model.state_dict().values(), strict=True)
    )


def test_it_never_ends_farther_away_on_the_judging_batches() -> None:
    model, x = network("residual")
    data = [torch.randn(16, 3, 6, 6) for _ in range(8)]
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    edited = netsmith.apply(model, plan)
    done = recalibrate(model, edited, plan, data)
    assert distance(model, done.model, data[-2:]) <= distance(model, edited, data[-2:])
    assert netsmith.verify(model, done.model, done.plan, x)
    assert done.model.bn1.momentum == 0.1


def test_neither_model_is_changed() -> None:
    model, plan, data = sound()
    spoilt = copy.deepcopy(model)
    spoilt.bn1.running_mean += 1.0
    model.train()
    spoilt.train()
    states = [copy.deepcopy(m.state_dict()) for m in (model, spoilt)]
    recalibrate(model, spoilt, plan, data)
    for each, state in zip((model, spoilt), states, strict=True):
        assert all(torch.equal(state[k], v) for k, v in each.state_dict().items())
        assert all(m.training for m in each.modules())


@pytest.mark.parametrize("data", [[torch.ones(8, 3, 6, 6)], [torch.ones(1, 3, 6, 6)] * 4])
def test_too_little_data_changes_nothing(data: list[torch.Tensor]) -> None:
    model, plan, _ = sound()
    done = recalibrate(model, model, plan, data)
    assert done.errors == {} and done.plan == plan


def test_a_last_batch_of_one_example() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).eval()
    plan = netsmith.plan_removal(netsmith.trace(model, torch.ones(2, 4)), keep=0.5)
    data = [torch.randn(8, 4), torch.randn(1, 4), torch.randn(8, 4), torch.randn(8, 4)]
    assert recalibrate(model, netsmith.apply(model, plan), plan, data).errors.keys() == {"1"}


def test_a_network_without_statistics() -> None:
    model, x = network("mlp")
    plan = netsmith.plan_removal(netsmith.trace(model, x), keep=0.5)
    done = recalibrate(model, netsmith.apply(model, plan), plan, [x, x])
    assert done.errors == {} and done.plan == plan


def test_bad_data() -> None:
    model, plan, _ = sound()
    with pytest.raises(EvidenceError, match="data is empty"):
        recalibrate(model, model, plan, [])
    with pytest.raises(InputError, match="data is a Tensor"):
        recalibrate(model, model, plan, torch.ones(8, 3, 6, 6))


def test_a_batch_that_forward_cannot_take() -> None:
    model, plan, data = sound()
    with pytest.raises(EvidenceError, match=r"forward raises on a batch of the data \(\(32, 5, 6, 6\) float32\)"):
        recalibrate(model, model, plan, [torch.randn(32, 5, 6, 6)] * 4)
    with pytest.raises(EvidenceError, match="forward raises on a batch of the data"):
        recalibrate(model, model, plan, [torch.randn(32, 5, 6, 6), *data])
