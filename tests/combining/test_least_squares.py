"""RegMean and RegMean++."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from netsmith.combining import merge_models, regmean, regmean_plus
from netsmith.errors import EvidenceError, InputError
from netsmith.evidence import Activations, activations
from netsmith.wiring import trace
from small_networks import Concatenated


def statistics(model: nn.Module, data: list[Tensor]) -> Activations:
    return activations(trace(model, data[0]), data)


def halves() -> tuple[list[nn.Module], list[list[Tensor]]]:
    """Two linear layers whose inputs lie in different subspaces."""
    torch.manual_seed(0)
    models: list[nn.Module] = [nn.Sequential(nn.Linear(8, 3, bias=False)) for _ in range(2)]
    data = []
    for side in range(2):
        x = torch.randn(256, 8)
        x[:, 4 * side : 4 * side + 4] = 0
        data.append(list(x.split(64)))
    return models, data


def error(merged: nn.Module, models: list[nn.Module], data: list[list[Tensor]]) -> float:
    with torch.no_grad():
        pairs = [(torch.cat(d), m) for m, d in zip(models, data, strict=True)]
        return sum(float(mse_loss(merged(x), m(x))) for x, m in pairs)


@pytest.mark.parametrize("plus", [False, True])
def test_each_model_keeps_its_own_inputs(plus: bool) -> None:
    models, data = halves()
    if plus:
        merged = regmean_plus(models, data, alpha=1.0)
    else:
        merged = regmean(models, [statistics(m, d) for m, d in zip(models, data, strict=True)], alpha=1.0)
    assert error(merge_models(models), models, data) > 0.01
    assert error(merged, models, data) < 1e-6


def test_one_layer_is_the_least_squares_solution() -> None:
    models, _ = halves()
    torch.manual_seed(1)
    data = [list((torch.randn(512, 8) @ torch.randn(8, 8)).split(128)) for _ in models]
    merged = regmean(models, [statistics(m, d) for m, d in zip(models, data, strict=True)], alpha=1.0)
    best = error(merged, models, data)
    for seed in range(5):
        nudged = merge_models([merged])
        nudged[0].weight.data += 0.01 * torch.randn(3, 8, generator=torch.Generator().manual_seed(seed))
        assert error(nudged, models, data) > best


@pytest.mark.parametrize("plus", [False, True])
def test_copies_of_one_network_give_it_back(plus: bool) -> None:
    torch.manual_seed(0)
    model = Concatenated().eval()  # grouped and depthwise convolutions
    data = [torch.randn(16, 3, 4, 4) for _ in range(4)]
    merged = regmean_plus([model] * 2, [data] * 2) if plus else regmean([model] * 2, [statistics(model, data)] * 2)
    for ours, theirs in zip(merged.parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_says_what_is_wrong() -> None:
    models, data = halves()
    known = [statistics(m, d) for m, d in zip(models, data, strict=True)]
    with pytest.raises(InputError, match="2 models, but 1 statistics"):
        regmean(models, known[:1])
    with pytest.raises(InputError, match="alpha"):
        regmean(models, known, alpha=2.0)
    with pytest.raises(InputError, match="not all 0"):
        regmean(models, known, weights=[0.0, 0.0])
    with pytest.raises(InputError, match="2 models, but 1 data sets"):
        regmean_plus(models, data[:1])
    other = nn.Sequential(nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(EvidenceError, match="other layers"):
        regmean([other, other], known)
