"""Fitted weights, against the best weights found by trying."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import one_hot

from ensemble_members import batches, trained
from netsmith.combining.ensembles import Outputs, gather
from netsmith.combining.ensembles.weighting import greedy, least_squares, log_loss
from netsmith.errors import BudgetError, InputError


def outputs(seed: int = 0) -> Outputs:
    """A good member, a poor one, and one of random answers."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (400,), generator=generator)
    noise = torch.randn(3, 400, 4, generator=generator)
    strength = torch.tensor([2.0, 1.0, 0.0])[:, None, None]
    return Outputs(("good", "poor", "random"), noise + strength * one_hot(labels, 4), labels)


def loss_of(found: Outputs, weights: torch.Tensor) -> float:
    mixed = (weights.double()[:, None, None] * found.log_probabilities().double().exp()).sum(0)
    return float(-mixed.gather(1, found.labels[:, None]).log().mean())


def squares_of(found: Outputs, weights: torch.Tensor) -> float:
    mixed = (weights.double()[:, None, None] * found.log_probabilities().double().exp()).sum(0)
    return float((mixed - one_hot(found.labels, 4)).square().sum())


def test_log_loss_is_the_best_on_the_simplex() -> None:
    found = outputs()
    weights = log_loss(found)
    grid = [torch.tensor([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    assert float(weights.sum()) == pytest.approx(1)
    assert loss_of(found, weights) <= min(loss_of(found, w) for w in grid) + 1e-9
    assert weights.argmax() == 0


def test_least_squares_is_the_best_on_the_simplex() -> None:
    found = outputs()
    weights = least_squares(found)
    assert float(weights.min()) >= 0
    assert float(weights.sum()) == pytest.approx(1)
    grid = [torch.tensor([a, b, 20 - a - b]) / 20 for a in range(21) for b in range(21 - a)]
    assert squares_of(found, weights) <= min(squares_of(found, w) for w in grid) + 1e-6


def test_greedy_is_no_worse_than_the_best_member_on_its_own_data() -> None:
    found = gather(trained(), batches())
    weights = greedy(found, bags=1)
    mixed = (weights[:, None, None] * found.log_probabilities().exp()).sum(0)
    right = (mixed.argmax(1) == found.labels).float().mean()
    assert right >= max((s.argmax(1) == found.labels).float().mean() for s in found.scores)


def test_greedy_repeats_itself_for_a_seed_and_bags_differ() -> None:
    found = outputs()
    assert torch.equal(greedy(found, seed=1), greedy(found, seed=1))
    assert float(greedy(found, bags=20, bag_share=0.34)[2]) > 0  # some bag knows the random member alone


def test_greedy_within_a_budget() -> None:
    found, costs = outputs(), {"macs": [10.0, 3.0, 2.0]}
    weights = greedy(found, costs=costs, limits={"macs": 5})
    assert weights[0] == 0
    assert float(weights.sum()) == pytest.approx(1)
    assert greedy(found, costs=costs, limits={"macs": 10})[0] in (0, 1)  # the good one alone, or none of it
    only = greedy(found, costs=costs, limits={"macs": 2}, bags=1, bag_share=0.34, seed=0)
    assert only.tolist() == [0, 0, 1]
    with pytest.raises(BudgetError, match="no member is within the budget of macs ≤ 1; allow more"):
        greedy(found, costs=costs, limits={"macs": 1})


def test_options_out_of_range() -> None:
    with pytest.raises(InputError, match="greedy needs rounds ≥ 1, bags ≥ 1, bag_share in"):
        greedy(outputs(), bags=0)
