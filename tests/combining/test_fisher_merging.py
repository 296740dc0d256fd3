"""Fisher merging."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.combining import fisher, fisher_importance, merge_models
from netsmith.errors import EvidenceError, InputError, ModelError


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3))


def test_important_weights_win_and_others_are_averaged() -> None:
    a, b = net(0), net(1)
    first = torch.zeros(3, 4)
    first[0] = 1e6
    merged = fisher([a, b], [{"0.weight": first}, {}])
    assert torch.allclose(merged[0].weight[0], a[0].weight[0], atol=1e-5)
    assert torch.allclose(merged[0].weight[1:], merge_models([a, b])[0].weight[1:], atol=1e-6)
    assert torch.allclose(merged[0].bias, merge_models([a, b])[0].bias, atol=1e-6)


def test_importance_is_the_mean_squared_gradient_of_examples() -> None:
    model, x, y = net(0), torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    found = fisher_importance(model, [(x[:4], y[:4]), (x[4:], y[4:])])
    expected = torch.zeros(3, 4)
    for one, label in zip(x, y, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(one[None]), label[None]).backward()
        expected += model[0].weight.grad ** 2 / 6
    assert torch.allclose(found["0.weight"], expected, atol=1e-6)


def test_says_what_is_wrong() -> None:
    a, b = net(0), net(1)
    with pytest.raises(InputError, match="2 models, but 1 importances"):
        fisher([a, b], [{}])
    with pytest.raises(InputError, match=r"0.weight is \(2,\)"):
        fisher([a, b], [{"0.weight": torch.ones(2)}, {}])
    with pytest.raises(EvidenceError, match="needs labels"):
        fisher_importance(a, [torch.randn(2, 4)])
    with pytest.raises(ModelError, match="requires a gradient"):
        fisher_importance(a.requires_grad_(False), [torch.randn(2, 4)])
