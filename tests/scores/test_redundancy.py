"""What another unit can stand in for."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import netsmith
from netsmith.errors import EvidenceError
from netsmith.evidence import activations
from netsmith.scores import Weights, magnitude, redundancy
from small_networks import NETWORKS, mlp, network


def task() -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return mlp().eval(), torch.randn(300, 6)


def scored(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    wiring = netsmith.trace(model, x)
    return redundancy(wiring.axis["0.weight:0"], Weights(wiring.tensors), activations=activations(wiring, [x]))


def test_the_least_is_the_best_substitution_of_all() -> None:
    """Against regressions of the reader's outputs, unit by unit and substitute by substitute."""
    model, x = task()
    hidden = model[:2](x).detach().double()
    hidden = hidden - hidden.mean(0)
    weight = model[2].weight.detach().double()
    power = (hidden @ weight.T).square().sum()

    def error(unit: int, other: int) -> float:
        target = (hidden[:, unit, None] * weight[:, unit]).flatten()
        stand_in = (hidden[:, other, None] * weight[:, unit]).flatten()
        scale = (target @ stand_in) / (stand_in @ stand_in).clamp_min(1e-12)
        return float((target - scale * stand_in).square().sum() / power)

    errors = {(u, v): error(u, v) for u in range(16) for v in range(16) if u != v}
    got = scored(model, x)
    assert float(got.min()) == pytest.approx(min(errors.values()), rel=1e-3, abs=1e-7)
    order = got.argsort().tolist()
    for i, unit in enumerate(order[:-1]):  # the one that goes is the best of those left, with a substitute still there
        best = min(errors[u, v] for u in order[i:] for v in order[i:] if u != v)
        assert min(errors[unit, v] for v in order[i + 1 :]) == pytest.approx(best, rel=1e-3, abs=1e-7)


def test_of_two_that_resemble_each_other_one_scores_low() -> None:
    model, x = task()
    with torch.no_grad():
        model[0].weight[5], model[0].bias[5] = 3 * model[0].weight[1], 3 * model[0].bias[1]
        model[2].weight[:, [1, 5]] *= 20
    got = scored(model, x)
    low, high = sorted((float(got[1]), float(got[5])))
    assert low < 1e-6 and high > float(got.median())


def test_units_without_any_effect_go_first() -> None:
    model, x = task()
    with torch.no_grad():
        model[2].weight[:, 7] = 0
    assert int(scored(model, x).argmin()) == 7


@pytest.mark.parametrize("name", NETWORKS)
def test_every_axis_gets_a_score(name: str) -> None:
    model, x = network(name)
    wiring = netsmith.trace(model, x)
    assert netsmith.plan_removal(
        wiring, keep=0.5, score=partial(redundancy, activations=activations(wiring, [x]))
    ).edits


def test_without_gram_matrices_it_is_scored_otherwise() -> None:
    model, x = task()
    wiring = netsmith.trace(model, x)
    axis, weights = wiring.axis["0.weight:0"], Weights(wiring.tensors)
    found = activations(wiring, [x], gram=False)
    assert torch.equal(redundancy(axis, weights, activations=found), magnitude(axis, weights))
    with pytest.raises(EvidenceError, match=r"no layer that reads axis '0\.weight:0' has a Gram matrix of its inputs"):
        redundancy(axis, weights, activations=found, otherwise=None)
