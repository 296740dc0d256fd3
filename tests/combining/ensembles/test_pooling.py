"""Scores of several members -> one, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from netsmith.combining.ensembles.pooling import RULES, check_rule, pool
from netsmith.errors import InputError

PROBABILITIES = torch.tensor([[[0.8, 0.2]], [[0.5, 0.5]], [[0.1, 0.9]]])  # 3 members, one example, 2 classes
EVEN = torch.full((3,), 1 / 3)


def pooled(rule: str, weights: Tensor = EVEN) -> list[float]:
    return pool(PROBABILITIES.log(), weights, rule).exp()[0].tolist()


def test_mean_of_probabilities() -> None:
    assert pooled("probabilities") == pytest.approx([1.4 / 3, 1.6 / 3])
    assert pooled("probabilities", torch.tensor([0.5, 0.0, 0.5])) == pytest.approx([0.45, 0.55])


def test_geometric_mean() -> None:
    first, second = 0.04 ** (1 / 3), 0.09 ** (1 / 3)
    assert pooled("geometric") == pytest.approx([first / (first + second), second / (first + second)])


def test_mean_of_logits_and_of_outputs() -> None:
    scores = torch.tensor([[[2.0, 0.0]], [[4.0, 6.0]]])
    assert pool(scores, torch.tensor([0.75, 0.25]), "logits").tolist() == [[2.5, 1.5]]
    assert pool(scores, torch.tensor([0.75, 0.25]), "mean").tolist() == [[2.5, 1.5]]


def test_vote_counts_and_a_tie_goes_to_the_larger_probability() -> None:
    three = torch.tensor([[[0.6, 0.4]], [[0.6, 0.4]], [[0.0, 1.0]]]).clamp_min(1e-9).log()
    assert pool(three, EVEN, "vote").exp()[0].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
    two = torch.tensor([[[0.6, 0.4]], [[0.3, 0.7]]]).log()
    answer = pool(two, torch.tensor([0.5, 0.5]), "vote")
    assert answer.argmax(1).tolist() == [1]
    assert bool(answer.isfinite().all())


@pytest.mark.parametrize(("values", "middle"), [([1.0, 9.0, 2.0], 2.0), ([1.0, 9.0, 2.0, 4.0], 3.0)])
def test_median(values: list[float], middle: float) -> None:
    assert pool(torch.tensor(values)[:, None, None], torch.ones(len(values)), "median").item() == middle


@pytest.mark.parametrize("rule", ["probabilities", "geometric", "vote"])
def test_probabilities_sum_to_one(rule: str) -> None:
    scores = torch.randn(4, 5, 6, 7, generator=torch.Generator().manual_seed(0))  # any dimensions between
    assert torch.allclose(pool(scores, torch.full((4,), 0.25), rule).exp().sum(-1), torch.ones(5, 6), atol=1e-3)


def test_an_unknown_rule() -> None:
    assert [check_rule(rule) for rule in RULES] == [None] * 6
    with pytest.raises(InputError, match="rule='best' is unknown; there are probabilities, geometric"):
        check_rule("best")
