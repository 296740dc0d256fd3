"""Penalties that drive units to zero, and the plan that removes them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import netsmith
from netsmith.errors import InputError, ModelError
from netsmith.plans import plan_removal, plan_threshold
from netsmith.scores import norm_scale
from netsmith.surgery import apply
from netsmith.training import l0_gates, penalties, regularize

X = torch.randn(64, 2, 6, 6, generator=torch.Generator().manual_seed(0))
Y = (X.mean((2, 3))[:, 0] > 0).long()
DATA = list(zip(X.split(16), Y.split(16), strict=True))
AXIS = "0.weight:0"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def norms(model: nn.Module) -> torch.Tensor:
    wiring = netsmith.trace(model, X[:2])
    return netsmith.scores.magnitude(wiring.axis[AXIS], netsmith.scores.Weights(dict(model.named_parameters())))


def test_single_weights_become_small() -> None:
    plain = regularize(network(), DATA, penalty=penalties.l2(0.0), epochs=10, lr=0.05, weight_decay=0)
    for penalty in (penalties.l1(0.01), penalties.l2(0.1)):
        small = regularize(network(), DATA, penalty=penalty, epochs=10, lr=0.05, weight_decay=0)
        assert small[3].weight.abs().sum() < 0.7 * plain[3].weight.abs().sum()


def test_group_lasso_empties_whole_units_which_then_go_without_loss() -> None:
    wiring = netsmith.trace(network(), X[:2])
    penalty = penalties.group_lasso(wiring, 0.003)
    trained = regularize(network(), DATA, penalty=penalty, epochs=60, lr=0.05, weight_decay=0, clip=None)
    plan = plan_threshold(netsmith.trace(trained, X[:2]), threshold=0.05)
    assert plan.edits
    small = apply(trained, plan).eval()
    assert torch.allclose(small(X), trained(X), atol=0.02)
    assert (small(X).argmax(1) == Y).float().mean() > 0.85


def test_growing_presses_exactly_what_will_go() -> None:
    model = network()
    plan = plan_removal(netsmith.trace(model, X[:2]), keep=0.5)
    penalty = penalties.growing(netsmith.trace(model, X[:2]), plan, rise=0.05, every=2, ceiling=1.0)
    trained = regularize(model, DATA, penalty=penalty, epochs=40, lr=0.05, momentum=0.5, weight_decay=0)
    going = sorted(set(range(8)) - set(plan.keep()[AXIS]))
    after = norms(trained)
    assert after[going].max() < 0.05 * after[list(plan.keep()[AXIS])].min()
    assert torch.allclose(apply(trained, plan).eval()(X), trained(X), atol=0.02)


def test_slimming_touches_scales_alone() -> None:
    wiring = netsmith.trace(network(), X[:2])
    model = network()
    model.requires_grad_(False)
    model[1].requires_grad_(True)
    slim = regularize(model, DATA, penalty=penalties.slimming(wiring, 0.1), epochs=20, lr=0.05)
    assert slim[1].weight.abs().sum() < 0.6 * model[1].weight.abs().sum()
    score = partial(norm_scale, wiring=wiring)
    with torch.no_grad():
        slim[1].weight[:3] = 0
    plan = plan_threshold(netsmith.trace(slim, X[:2]), score=score, threshold=0.0)
    assert set(range(8)) - set(plan.keep()[AXIS]) >= {0, 1, 2}


def test_gates_close_units_and_are_folded_away() -> None:
    model = network()
    wiring = netsmith.trace(model, X[:2])
    options = {"epochs": 40, "lr": 0.1, "optimizer": "adamw", "weight_decay": 0.0}
    trained = l0_gates(model, DATA, wiring=wiring, strength=0.05, **options)
    again = l0_gates(model, DATA, wiring=wiring, strength=0.05, **options)
    assert trained.state_dict().keys() == model.state_dict().keys()
    assert type(trained[0]) is nn.Conv2d
    assert torch.equal(trained(X), again(X))
    closed = int((norms(trained) == 0).sum())
    assert closed > 0
    plan = plan_threshold(netsmith.trace(trained, X[:2]), threshold=0.0)
    assert len(plan.keep()[AXIS]) == 8 - closed
    small = apply(trained, plan).eval()
    assert torch.allclose(small(X), trained(X), atol=1e-5)
    assert (small(X).argmax(1) == Y).float().mean() > 0.85


def test_bad_input() -> None:
    model, wiring = network(), netsmith.trace(network(), X[:2])
    with pytest.raises(InputError, match="penalty must be a function"):
        regularize(model, DATA, penalty="l1", epochs=1)
    with pytest.raises(InputError, match="strength must be a number ≥ 0, not -1"):
        penalties.l1(-1)
    with pytest.raises(InputError, match="wiring is a Sequential; give what trace"):
        penalties.group_lasso(model, 0.1)
    with pytest.raises(InputError, match="the plan removes no unit"):
        penalties.growing(wiring, plan_removal(wiring, keep=1.0))
    with pytest.raises(InputError, match="must be positive"):
        penalties.growing(wiring, plan_removal(wiring, keep=0.5), rise=0)
    with pytest.raises(ModelError, match="0.weight is no parameter of the network"):
        regularize(
            nn.Sequential(nn.Flatten(), nn.Linear(72, 2)), DATA, penalty=penalties.group_lasso(wiring, 1), steps=1
        )
    plain = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ModelError, match="has a normalization with a scale; regularize with group_lasso"):
        penalties.slimming(netsmith.trace(plain, X[:2]), 0.1)
    with pytest.raises(InputError, match=r"open_at_first is a probability in \(0, 1\), not 1"):
        l0_gates(model, DATA, wiring=wiring, strength=0.1, open_at_first=1, epochs=1)
