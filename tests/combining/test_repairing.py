"""REPAIR gives averaged units back the spread of the models' own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from netsmith.combining import barrier, merge_models, repair
from netsmith.errors import EvidenceError, InputError
from small_networks import Residual


def mlp(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)).eval()


def test_units_get_the_mean_of_both_statistics() -> None:
    a, b = mlp(0), mlp(1)
    data = [torch.randn(64, 6) for _ in range(4)]
    merged = merge_models([a, b])
    before = copy.deepcopy(merged.state_dict())
    repaired = repair(merged, [a, b], data)
    x = torch.cat(data)
    with torch.no_grad():
        for depth in (1, 3):
            own, one, two = (m[:depth](x) for m in (repaired, a, b))
            assert torch.allclose(own.mean(0), (one.mean(0) + two.mean(0)) / 2, atol=1e-4)
            assert torch.allclose(own.std(0), (one.std(0) + two.std(0)) / 2, atol=1e-3)
    assert torch.equal(repaired[4].weight, merged[4].weight)  # what is given out stays
    assert all(torch.equal(t, before[n]) for n, t in merged.state_dict().items())


def test_statistics_of_batch_normalizations_are_recomputed() -> None:
    torch.manual_seed(0)
    a, b = Residual().eval(), Residual().eval()
    data = [torch.randn(32, 3, 6, 6) for _ in range(4)]
    repaired = repair(merge_models([a, b]), [a, b], data)
    with torch.no_grad():
        out = repaired.stem(torch.cat(data))
    assert torch.allclose(repaired.norm.running_mean, out.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(repaired.norm.running_var, out.var((0, 2, 3)), rtol=1e-2)
    assert repaired.norm.momentum == 0.1
    assert not any(m.training for m in repaired.modules())


def test_says_what_is_wrong() -> None:
    a = mlp(0)
    with pytest.raises(InputError, match="give the models"):
        repair(a, [], [torch.randn(4, 6)])
    with pytest.raises(InputError, match="1 weights for 2 models"):
        repair(a, [a, a], [torch.randn(4, 6)], weights=[1.0])
    with pytest.raises(EvidenceError, match="empty"):
        repair(a, [a], [])


def test_barrier_measures_the_rise_above_the_line() -> None:
    a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    a.weight.data.fill_(-1.0)
    b.weight.data.fill_(3.0)
    found = barrier(a, b, lambda m: -((float(m.weight.detach()) - 1) ** 2), points=5)
    assert found.losses == (-4.0, -1.0, 0.0, -1.0, -4.0)
    assert found.height == found.middle == 4.0
    mended = barrier(a, b, lambda m: float(m.weight.detach()), points=3, mend=lambda m: a)
    assert mended.losses == (-1.0, -1.0, 3.0)
    with pytest.raises(InputError, match="points=4"):
        barrier(a, b, lambda m: 0.0, points=4)
