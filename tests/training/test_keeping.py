"""Masks and clipping stay in force."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.errors import InputError, ModelError
from netsmith.training import clip, finetune, keep_zeros

DATA = [(torch.randn(16, 6, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3)]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_zeros_stay_and_the_rest_moves(optimizer: str) -> None:
    model = network()
    with torch.no_grad():
        model[0].weight[model[0].weight.abs() < 0.2] = 0
        model[2].bias.zero_()
    mask = model[0].weight != 0
    tuned = finetune(model, DATA, epochs=20, lr=0.05, optimizer=optimizer, after_step=[keep_zeros(model)])
    assert 0 < int((~mask).sum()) < mask.numel()
    assert torch.equal(tuned[0].weight != 0, mask)
    assert bool((tuned[2].bias != 0).all())  # a bias at zero is no mask


def test_weights_stay_within_bounds() -> None:
    model = network()
    tuned = finetune(model, DATA, epochs=20, lr=0.5, after_step=[clip(model, 0.1)])
    free = finetune(model, DATA, epochs=20, lr=0.5)
    assert float(tuned[0].weight.detach().abs().max()) == pytest.approx(0.1)
    assert float(free[0].weight.detach().abs().max()) > 0.2


def test_bad_input() -> None:
    with pytest.raises(InputError, match="bound must be positive, not 0"):
        clip(network(), 0)
    with pytest.raises(ModelError, match=r"0.weight is not, or not of that shape, in the network that is trained"):
        finetune(nn.Linear(6, 3), DATA, epochs=1, after_step=[clip(network(), 1.0)])
