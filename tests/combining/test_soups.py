"""Model soups."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netsmith.combining import greedy_soup, uniform_soup
from netsmith.errors import InputError


def at(value: float) -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(value)
    return model


def score(model: nn.Module) -> float:
    return -abs(float(model.weight.detach()))


def test_only_models_that_help_stay() -> None:
    soup = greedy_soup([at(5.0), at(-1.0), at(2.0), at(0.6)], score)
    # 0.6 is best; with -1 it is -0.2; with 2 as well it would be 0.53
    assert soup.members == (3, 1)
    assert soup.score == pytest.approx(-0.2)
    assert float(soup.model.weight.detach()) == pytest.approx(-0.2)
    assert soup.scores == (-5.0, -1.0, -2.0, pytest.approx(-0.6))


def test_uniform_is_the_average_and_mend_is_applied() -> None:
    assert float(uniform_soup([at(1.0), at(2.0)]).weight.detach()) == 1.5
    soup = greedy_soup([at(1.0), at(3.0)], score, mend=lambda model: at(0.0))
    assert torch.equal(soup.model.weight, torch.zeros(1, 1))


def test_no_models() -> None:
    with pytest.raises(InputError, match="at least one model"):
        greedy_soup([], score)
