"""Thresholds on examples whose best choice is known."""

from __future__ import annotations

import pytest
import torch

from netsmith.combining.ensembles.thresholds import NEVER, choices, choose, outcome
from netsmith.errors import BudgetError, InputError

# Ten examples; the first member is right about the surest six, the second about all but the first.
CONFIDENCE = torch.tensor([[0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3]])
RIGHT = torch.tensor([[True] * 6 + [False] * 4, [False] + [True] * 9])
COSTS = (1.0, 10.0)


def test_the_cheapest_for_an_accuracy() -> None:
    chosen = choose(CONFIDENCE, RIGHT, COSTS, target_accuracy=1.0)
    assert 0.6 < chosen.thresholds[0] <= 0.7
    assert chosen.accuracy == 1.0
    assert chosen.reached == pytest.approx((1.0, 0.4))
    assert chosen.mean_cost == pytest.approx(1 + 0.4 * 10)
    assert chosen.worst_cost == 11
    assert choose(CONFIDENCE, RIGHT, COSTS, target_accuracy=0.6).thresholds == (0.0,)


def test_the_most_accurate_for_a_cost() -> None:
    chosen = choose(CONFIDENCE, RIGHT, COSTS, target_cost=3.0)
    assert chosen.accuracy == pytest.approx(0.8)
    assert chosen.mean_cost == pytest.approx(3.0)


def test_nobody_may_leave() -> None:
    all_go = outcome(CONFIDENCE, RIGHT, COSTS, (NEVER,))
    assert all_go.accuracy == pytest.approx(0.9)
    assert all_go.mean_cost == all_go.worst_cost == 11


def test_three_members_are_searched_together() -> None:
    confidence = torch.cat([CONFIDENCE, CONFIDENCE])
    right = torch.stack([RIGHT[0], torch.tensor([True] * 8 + [False] * 2), torch.tensor([True] * 10)])
    chosen = choose(confidence, right, (1, 2, 10), target_accuracy=1.0)
    assert chosen.reached == pytest.approx((1.0, 0.4, 0.2))
    many = list(choices(torch.rand(2, 5000), torch.rand(3, 5000) > 0.5, (1, 2, 3)))
    assert len(many) <= 66**2


def test_bad_input() -> None:
    with pytest.raises(BudgetError, match="no thresholds reach an accuracy of 1.0000; the best is 0.9000, at a mean"):
        choose(CONFIDENCE, RIGHT[[1, 1]], COSTS, target_accuracy=1.0)
    with pytest.raises(BudgetError, match="keep the mean cost within 0; the least is 1"):
        choose(CONFIDENCE, RIGHT, COSTS, target_cost=0.5)
    with pytest.raises(InputError, match="give one of target_accuracy and target_cost"):
        choose(CONFIDENCE, RIGHT, COSTS, target_accuracy=0.5, target_cost=3)
    with pytest.raises(InputError, match="a share of right answers in 0..1, not 93"):
        choose(CONFIDENCE, RIGHT, COSTS, target_accuracy=93)
